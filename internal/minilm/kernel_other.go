//go:build !amd64

package minilm

func kernelsHere() kernels { return portable() }
