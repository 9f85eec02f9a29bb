package mailbox

// OnReadable has call called whenever TryNext may have something to return: a message, or why the reader has ended. It is
// called at once, and then by whoever brings that about (a sender, say), in their goroutine and without a lock of this
// package held; so it must not wait, and may be called by several at once. It is for readers that pass messages on without
// a goroutine of their own.
func (r *Reader) OnReadable(call func()) {
	r.call.Store(&call)
	call()
}
