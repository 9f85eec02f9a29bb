package llm

import (
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

// readEvents returns all events of r, and the error that ended them if it was not the end.
func readEvents(r io.Reader, limit int64) ([]string, error) {
	e := newEvents(r, limit)
	var all []string
	for {
		data, err := e.next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, string(data))
	}
}

func TestEvents(t *testing.T) {
	tests := []struct {
		name, stream string
		want         []string
	}{
		{"nothing", "", nil},
		{"one", "data: a\n\n", []string{"a"}},
		{"only one space goes", "data:  a \n\n", []string{" a "}},
		{"no space", "data:a\n\n", []string{"a"}},
		{"no value", "data\n\ndata:\n\n", []string{"", ""}},
		{"two lines", "data: a\ndata: b\n\n", []string{"a\nb"}},
		{"other fields", "id: 1\nevent: x\ndata: a\n: comment\n\n", []string{"a"}},
		{"other names", "database: a\ndat: b\n\n", nil},
		{"CRLF", "data: a\r\n\r\ndata: b\r\n\r\n", []string{"a", "b"}},
		{"many empty lines", "\n\n\ndata: a\n\n\n\n", []string{"a"}},
		{"cut off", "data: a\n\ndata: b", []string{"a", "b"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := readEvents(strings.NewReader(test.stream), 100)
			if err != nil || !reflect.DeepEqual(got, test.want) {
				t.Errorf("events are %q, error %v; want %q", got, err, test.want)
			}
		})
	}
}

func TestEventsAreBounded(t *testing.T) {
	if _, err := readEvents(strings.NewReader(strings.Repeat("data: a\n\n", 100)), 50); !errors.Is(err, errTooLong) {
		t.Errorf("error is %v", err)
	}
}

// FuzzEvents checks that how a stream is cut into packets makes no difference, and that no data is invented.
func FuzzEvents(f *testing.F) {
	f.Add("data: a\n\ndata: b\r\n\r\n: c\n\n")
	f.Add("data\ndata:\ndata: x")
	f.Add("event: x\n\n\ndata: {\"a\":1}\n")
	f.Fuzz(func(t *testing.T, stream string) {
		whole, wholeErr := readEvents(strings.NewReader(stream), 1<<16)
		bytewise, bytewiseErr := readEvents(iotest.OneByteReader(strings.NewReader(stream)), 1<<16)
		if !reflect.DeepEqual(whole, bytewise) || (wholeErr == nil) != (bytewiseErr == nil) {
			t.Fatalf("whole: %q, %v; byte by byte: %q, %v", whole, wholeErr, bytewise, bytewiseErr)
		}
		total := 0
		for _, data := range whole {
			total += len(data)
		}
		if total > len(stream) {
			t.Fatalf("%d bytes of data out of %d", total, len(stream))
		}
	})
}

// FuzzStream checks that whatever a server sends, the pieces handed out are the reply's text.
func FuzzStream(f *testing.F) {
	f.Add(chunks("a", "b") + streamEnd)
	f.Add(`data: {"choices":[{"delta":{"tool_calls":[{"index":0,"id":"c","function":{"name":"n","arguments":"{"}}]}}]}` + "\n\n")
	f.Add(`data: {"choices":[{"delta":{"tool_calls":[{"index":-1}]}}]}` + "\n\n")
	f.Add(`data: {"error":"no"}` + "\n\n")
	f.Fuzz(func(t *testing.T, stream string) {
		var pieces strings.Builder
		c := New(Config{Key: testKey, Model: "m"})
		reply, err := c.readStream(strings.NewReader(stream), func(piece string) error {
			pieces.WriteString(piece)
			return nil
		})
		if reply.Text != pieces.String() {
			t.Fatalf("reply is %q, pieces are %q", reply.Text, pieces.String())
		}
		if err == nil && !strings.Contains(stream, "[DONE]") && reply.FinishReason == "" {
			t.Fatal("an answer without an end was taken for whole")
		}
	})
}
