package minilm

func kernelsHere() kernels { return portable() }
