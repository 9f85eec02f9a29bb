package memory

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"time"
	"unicode/utf8"
	"unsafe"

	"golang.org/x/sys/cpu"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/table"
)

// A record on disk. Integers are little endian; a string is its length (uvarint) and its bytes.
//
//	crc32c   4 bytes, of all that follows
//	time     8 bytes, microseconds since 1970 (two's complement)
//	id       string
//	text     string
//	vector   dimension (uvarint, 0: none), 4 bytes (float32) each
//	metadata count (uvarint); each: key (string), kind (1 byte), value:
//	         's' string, 'i' 8 bytes (int64), 'f' 8 bytes (float64), 't' and 'b' nothing (true and false)
//
// Format 2 may have more behind it, where there is more to say:
//
//	flags    1 byte
//	expires  8 bytes, as time, if the flag says so
//	uri      string, if the flag says so
//
// Without a flag a text of no bytes is null, and so are metadata of no keys.
const (
	flagEmptyText     = 1 << iota // the text is there and empty
	flagEmptyMetadata             // likewise
	flagExpires
	flagURI
	flagsEnd
)

const recordHead = 12 // bytes of crc and time

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func encodeRecord(r *table.Row) []byte {
	b := make([]byte, recordHead, recordHead+len(r.ID)+len(r.Text)+4*len(r.Vector)+32*len(r.Metadata)+16)
	binary.LittleEndian.PutUint64(b[4:], uint64(r.Time.UnixMicro()))
	b = appendString(b, r.ID)
	b = appendString(b, r.Text)
	b = binary.AppendUvarint(b, uint64(len(r.Vector)))
	b = appendVector(b, r.Vector)
	b = binary.AppendUvarint(b, uint64(len(r.Metadata)))
	for _, key := range sortedKeys(r.Metadata) {
		b = appendString(b, key)
		switch v := r.Metadata[key].(type) {
		case string:
			b = appendString(append(b, 's'), v)
		case int64:
			b = binary.LittleEndian.AppendUint64(append(b, 'i'), uint64(v))
		case float64:
			b = binary.LittleEndian.AppendUint64(append(b, 'f'), math.Float64bits(v))
		case bool:
			if v {
				b = append(b, 't')
			} else {
				b = append(b, 'b')
			}
		}
	}
	return sealed(appendTail(b, r))
}

func appendTail(b []byte, r *table.Row) []byte {
	var flags byte
	if r.Text == "" && !r.NoText {
		flags |= flagEmptyText
	}
	if len(r.Metadata) == 0 && !r.NoMetadata {
		flags |= flagEmptyMetadata
	}
	if !r.Expires.IsZero() {
		flags |= flagExpires
	}
	if r.URI != nil {
		flags |= flagURI
	}
	if flags == 0 {
		return b
	}
	b = append(b, flags)
	if flags&flagExpires != 0 {
		b = binary.LittleEndian.AppendUint64(b, uint64(r.Expires.UnixMicro()))
	}
	if flags&flagURI != 0 {
		b = appendString(b, *r.URI)
	}
	return b
}

// sealed fills in the checksum.
func sealed(b []byte) []byte {
	if len(b) >= recordHead {
		binary.LittleEndian.PutUint32(b, crc32.Checksum(b[4:], castagnoli))
	}
	return b
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendVector(b []byte, v []float32) []byte {
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return b
}

// vectorFrom reads the float32 of b, 4 bytes each; nil where there are none.
func vectorFrom(b []byte) []float32 {
	if len(b) == 0 {
		return nil
	}
	v := make([]float32, len(b)/4)
	if !cpu.IsBigEndian { // then they lie in memory as on disk: opening a large memory is mostly this
		copy(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), 4*len(v)), b)
		return v
	}
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return v
}

// recordTime reads only the time of an encoded record.
func recordTime(b []byte) (time.Time, error) {
	if len(b) < recordHead {
		return time.Time{}, errors.New("is cut off")
	}
	if binary.LittleEndian.Uint32(b) != crc32.Checksum(b[4:], castagnoli) {
		return time.Time{}, errors.New("checksum does not match")
	}
	return time.UnixMicro(int64(binary.LittleEndian.Uint64(b[4:]))).UTC(), nil
}

// decodeRecord reads what encodeRecord wrote; it copies everything out of b.
func decodeRecord(b []byte) (*table.Row, error) {
	t, err := recordTime(b)
	if err != nil {
		return nil, err
	}
	d := decoder{rest: b[recordHead:]}
	r := &table.Row{Record: api.Record{Time: t, ID: d.string(), Text: d.string()}}
	if n := d.uvarint(); n > maxDimension {
		d.fail("vector has %d dimensions", n)
	} else {
		r.Vector = vectorFrom(d.bytes(4 * n))
	}
	if n := d.uvarint(); n > maxMetadataKeys {
		d.fail("metadata has %d keys", n)
	} else if n > 0 {
		r.Metadata = make(map[string]any, n)
		for range n {
			key := d.string()
			r.Metadata[key] = d.value()
		}
	}
	flags := d.tail(r)
	r.NoText = r.Text == "" && flags&flagEmptyText == 0
	r.NoMetadata = len(r.Metadata) == 0 && flags&flagEmptyMetadata == 0
	if d.err == nil && len(d.rest) > 0 {
		d.fail("%d bytes are left over", len(d.rest))
	}
	if d.err != nil {
		return nil, d.err
	}
	if err := checkRow(r); err != nil {
		return nil, err
	}
	return r, nil
}

// tail reads what format 2 may have behind a record, and returns its flags.
func (d *decoder) tail(r *table.Row) byte {
	if d.err != nil || len(d.rest) == 0 {
		return 0
	}
	flags := d.bytes(1)[0]
	if flags == 0 || flags >= flagsEnd {
		d.fail("has unknown flags %#x", flags)
	}
	if flags&flagExpires != 0 {
		r.Expires = time.UnixMicro(int64(d.uint64())).UTC()
	}
	if flags&flagURI != 0 {
		uri := d.string()
		r.URI = &uri
	}
	return flags
}

// decoder reads from rest; after the first error it only returns zero values.
type decoder struct {
	rest []byte
	err  error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf(format, args...)
	}
	d.rest = nil
}

func (d *decoder) bytes(n uint64) []byte {
	if n > uint64(len(d.rest)) {
		d.fail("is cut off")
		return nil
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 {
		d.fail("is cut off")
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) string() string { return string(d.bytes(d.uvarint())) }

func (d *decoder) uint64() uint64 {
	b := d.bytes(8)
	if b == nil {
		return 0
	}
	return binary.LittleEndian.Uint64(b)
}

func (d *decoder) value() any {
	switch kind := d.bytes(1); string(kind) {
	case "s":
		return d.string()
	case "i":
		return int64(d.uint64())
	case "f":
		return math.Float64frombits(d.uint64())
	case "t", "b":
		return kind[0] == 't'
	default:
		d.fail("metadata has a value of unknown kind %q", kind)
		return false
	}
}

// Bounds of one record.
const (
	maxIDBytes       = 1 << 10
	maxURIBytes      = 64 << 10
	maxTextBytes     = api.MaxMessageBytes
	maxMetadataKeys  = 1000
	maxMetadataBytes = 1 << 20 // keys and strings together
)

// checkRow says whether r is as every stored row is: an ID, valid UTF-8, within bounds, a vector of numbers, metadata of
// the four kinds, times that JSON can write (years 1 to 9999; none is allowed while a row is on its way in).
func checkRow(r *table.Row) error {
	switch {
	case r.ID == "":
		return fmt.Errorf("record has no ID: %w", api.ErrInvalid)
	case len(r.ID) > maxIDBytes:
		return fmt.Errorf("id has %d bytes, more than %d: %w", len(r.ID), maxIDBytes, api.ErrTooLarge)
	case !utf8.ValidString(r.ID):
		return fmt.Errorf("id %q is not valid UTF-8: %w", r.ID, api.ErrInvalid)
	case len(r.Text) > maxTextBytes:
		return fmt.Errorf("text has %d bytes, more than %d: %w", len(r.Text), maxTextBytes, api.ErrTooLarge)
	case !utf8.ValidString(r.Text):
		return fmt.Errorf("text is not valid UTF-8 (a memory holds text, not bytes): %w", api.ErrInvalid)
	case r.URI != nil && len(*r.URI) > maxURIBytes:
		return fmt.Errorf("uri has %d bytes, more than %d: %w", len(*r.URI), maxURIBytes, api.ErrTooLarge)
	case r.URI != nil && !utf8.ValidString(*r.URI):
		return fmt.Errorf("uri is not valid UTF-8: %w", api.ErrInvalid)
	}
	for _, t := range []time.Time{r.Time, r.Expires} {
		if year := t.Year(); year < 1 || year > 9999 {
			return fmt.Errorf("time is in the year %d, not 1 to 9999: %w", year, api.ErrInvalid)
		}
	}
	if r.Vector != nil {
		if err := checkVector(r.Vector); err != nil {
			return err
		}
	}
	return checkMetadata(r.Metadata)
}
