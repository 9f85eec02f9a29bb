package backend

// Received is what a user has on the way: bytes of messages that are being received or dealt with, and how many more wait
// for room.
func (b *Backend) Received(user string) (bytes int64, waiting int) { return b.intake.Taken(user) }
