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

// SetLargest bounds the records of one answer, in bytes.
func (s *Server) SetLargest(n int) { s.largest = n }

// LocalError is what a caller gets for an error of the connection's.
func LocalError(err error) error { return local(err) }
