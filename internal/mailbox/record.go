package mailbox

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// The journal's format, version 1.
//
//	file    = magic version record*
//	magic   = "comambx\n"                       8 bytes
//	version = 1                                 4 bytes, little endian
//	record  = length crc kind payload
//	length  = of kind and payload               4 bytes, little endian, 1 to maxRecord
//	crc     = CRC-32C of length, kind, payload  4 bytes, little endian
//	kind    = one byte, below
//
// In payloads, int is an unsigned varint, string is its length as an int and its bytes, and time is one byte 0 for the zero
// time or 1, seconds since 1970 (signed varint), nanoseconds (int). Boxes are named by number, to keep records small.
//
//	box     box int, name string, next int      a box, and the number that its next message gets; again: only next changes
//	put     box int, message                    a message that waits; again: replaces the earlier one
//	letter  box int, message                    a dead letter; replaces the message of its number, waiting or dead
//	ack     box int, seq int                    all waiting messages up to seq are finished with
//	death   box int, seq int, deaths int        a module died of the message, for that many times now
//	dead    box int, seq int, deaths int        the waiting message goes to the dead letters
//	drop    box int, seq int                    the message goes, waiting or dead
//	removed box int                             the box goes
//	ids     box int, count int, string*         IDs of messages that were put (PutResent knows them)
//
//	message = seq int, deaths int, id, from, to, topic, text, content type, reply-to, correlation id string,
//	          time, deadline time, headers: count int, (key string, value string)*
//
// Records about boxes or messages that are not there (any more) mean nothing and are passed over.
const (
	magic        = "comambx\n"
	version      = 1
	headerLength = len(magic) + 4
	prefixLength = 8 // length and crc

	// maxMessage bounds what sizeOf says of a message: a text of api.MaxMessageBytes and as much again for the rest.
	maxMessage  = 2 * api.MaxMessageBytes
	maxRecord   = maxMessage + 1024 // numbers, lengths and times of a message take far less than 1024 bytes
	maxVarint32 = binary.MaxVarintLen32
)

type kind byte

const (
	kindBox kind = iota + 1
	kindPut
	kindLetter
	kindAck
	kindDeath
	kindDead
	kindDrop
	kindRemoved
	kindIDs
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func header() []byte {
	return binary.LittleEndian.AppendUint32([]byte(magic), version)
}

// appendRecord appends a record whose payload is the numbers, and then what more appends (nil: nothing).
func appendRecord(buf []byte, k kind, more func([]byte) []byte, numbers ...uint64) []byte {
	start := len(buf)
	buf = append(buf, make([]byte, prefixLength)...)
	buf = append(buf, byte(k))
	for _, n := range numbers {
		buf = binary.AppendUvarint(buf, n)
	}
	if more != nil {
		buf = more(buf)
	}
	record := buf[start:]
	binary.LittleEndian.PutUint32(record, uint32(len(record)-prefixLength))
	binary.LittleEndian.PutUint32(record[4:], checksum(record))
	return buf
}

// checksum computes the CRC of a whole record, which leaves out the CRC's own place.
func checksum(record []byte) uint32 {
	return crc32.Update(crc32.Checksum(record[:4], castagnoli), castagnoli, record[prefixLength:])
}

func appendString(buf []byte, s string) []byte {
	return append(binary.AppendUvarint(buf, uint64(len(s))), s...)
}

func appendTime(buf []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(buf, 0)
	}
	buf = binary.AppendVarint(append(buf, 1), t.Unix())
	return binary.AppendUvarint(buf, uint64(t.Nanosecond()))
}

func appendMessage(buf []byte, m *api.Message) []byte {
	buf = binary.AppendUvarint(buf, m.Seq)
	buf = binary.AppendUvarint(buf, uint64(m.Deaths))
	for _, s := range [...]string{m.ID, m.From, m.To, m.Topic, m.Text, m.ContentType, m.ReplyTo, m.CorrelationID} {
		buf = appendString(buf, s)
	}
	buf = appendTime(buf, m.Time)
	buf = appendTime(buf, m.Deadline)
	buf = binary.AppendUvarint(buf, uint64(len(m.Headers)))
	for key, value := range m.Headers {
		buf = appendString(appendString(buf, key), value)
	}
	return buf
}

var errMalformed = errors.New("record is malformed")

// decoder reads a payload. Once something is malformed it stays so, and all further values are zero.
type decoder struct {
	rest      []byte
	malformed bool
}

func (d *decoder) fail() { d.malformed, d.rest = true, nil }

// end returns errMalformed unless the payload was read to its very end.
func (d *decoder) end() error {
	if d.malformed || len(d.rest) > 0 {
		return errMalformed
	}
	return nil
}

func (d *decoder) number() uint64 {
	n, length := binary.Uvarint(d.rest)
	if length <= 0 {
		d.fail()
		return 0
	}
	d.rest = d.rest[length:]
	return n
}

// bounded reads a number that must not exceed limit.
func (d *decoder) bounded(limit uint64) uint64 {
	n := d.number()
	if n > limit {
		d.fail()
		return 0
	}
	return n
}

func (d *decoder) seq() uint64 { return d.bounded(maxSeq) }
func (d *decoder) deaths() int { return int(d.bounded(1 << 30)) }

// count reads the number of items, of at least a byte each, that follow.
func (d *decoder) count() int {
	n := d.number()
	if n > uint64(len(d.rest)) {
		d.fail()
		return 0
	}
	return int(n)
}

func (d *decoder) string() string {
	n := d.count()
	s := string(d.rest[:n])
	d.rest = d.rest[n:]
	return s
}

func (d *decoder) time() time.Time {
	if d.bounded(1) == 0 {
		return time.Time{}
	}
	seconds, length := binary.Varint(d.rest)
	if length <= 0 {
		d.fail()
		return time.Time{}
	}
	d.rest = d.rest[length:]
	nanoseconds := d.bounded(999_999_999)
	return time.Unix(seconds, int64(nanoseconds)).UTC()
}

func (d *decoder) message() (m api.Message) {
	m.Seq = d.seq()
	m.Deaths = d.deaths()
	for _, s := range [...]*string{&m.ID, &m.From, &m.To, &m.Topic, &m.Text, &m.ContentType, &m.ReplyTo, &m.CorrelationID} {
		*s = d.string()
	}
	m.Time = d.time()
	m.Deadline = d.time()
	if n := d.count(); n > 0 {
		m.Headers = make(map[string]string)
		for i := 0; i < n && !d.malformed; i++ {
			key := d.string()
			m.Headers[key] = d.string()
		}
	}
	return m
}
