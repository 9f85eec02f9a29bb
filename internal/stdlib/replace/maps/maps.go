// Package maps has what the interpreter runs in place of generics of the standard library whose own source reaches into
// the runtime. The generator of package stdlib embeds its text.
package maps

// Clone is maps.Clone.
func Clone[M ~map[K]V, K comparable, V any](m M) M {
	if m == nil {
		return nil
	}
	clone := make(M, len(m))
	for k, v := range m {
		clone[k] = v
	}
	return clone
}
