//go:build !amd64 && !arm64

package minilm

func kernelsHere() kernels { return portable() }
