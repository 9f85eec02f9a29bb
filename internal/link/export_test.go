package link

// Known returns the names of all methods that are answered or taken note of.
func Known() (names []string) {
	for name := range shapes() {
		names = append(names, name)
	}
	for name := range notifications {
		names = append(names, name)
	}
	return names
}
