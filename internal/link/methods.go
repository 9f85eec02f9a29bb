package link

import (
	"encoding/base64"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// Methods that a module calls, once "open" has seated it.
const (
	methodOpen        = "open"        // openParams → openResult
	methodClose       = "close"       // closeParams
	methodSend        = "send"        // sendParams
	methodNext        = "next"        // notification, nextParams: finished with all up to Ack, hand me the next
	methodLater       = "later"       // notification: no longer waits for the next
	methodPoll        = "poll"        // nextParams: as next, answered when what is there has been pushed
	methodPending     = "pending"     // → count
	methodPublish     = "publish"     // api.Publication
	methodSubscribe   = "subscribe"   // pattern
	methodUnsubscribe = "unsubscribe" // pattern
	methodLog         = "log"         // notification, api.LogEntry
	methodPrint       = "print"       // notification, text
	methodInput       = "input"       // text → text
	methodKeep        = "keep"        // kept
	methodKept        = "kept"        // kept → kept
)

// Methods that the host calls on a module or an attached host.
const (
	methodMessage       = "message"       // notification, wireMessage: the next message for the module
	methodReplaced      = "replaced"      // notification: a newer generation has the seat
	methodConsoleLog    = "console.log"   // notification, consoleParams
	methodConsolePrint  = "console.print" // notification, consoleParams
	methodConsoleInput  = "console.input" // consoleParams → text
	methodConsoleListen = "heard"         // notification, api.Heard
)

// Methods of a memory; the agent is the module's own unless named.
const (
	methodMemoryAdd    = "memory.add"    // memoryParams → ids
	methodMemoryGet    = "memory.get"    // memoryParams → records
	methodMemoryQuery  = "memory.query"  // memoryParams → matches
	methodMemoryUpdate = "memory.update" // memoryParams
	methodMemoryDelete = "memory.delete" // memoryParams → count
	methodMemoryCount  = "memory.count"  // memoryParams → count
	methodMemoryClear  = "memory.clear"  // memoryParams → count
)

// Methods of those who run agents, and of tools.
const (
	methodAttach    = "agent.attach"      // api.Attachment → api.Endpoint
	methodReport    = "agent.report"      // api.ModuleState
	methodEnded     = "agent.ended"       // endedParams
	methodRemove    = "agent.remove"      // module
	methodDetach    = "agent.detach"      //
	methodStatus    = "status"            // → api.Status
	methodAgents    = "agents"            // → []api.AgentState
	methodPost      = "post"              // sendParams
	methodListen    = "listen"            // pattern; answers with "heard" until it is cancelled
	methodMailboxes = "mailboxes"         // mailboxParams → []api.Mailbox
	methodWaiting   = "mailbox.waiting"   // mailboxParams → []wireMessage
	methodRedeliver = "mailbox.redeliver" // mailboxParams → count
	methodDropDead  = "mailbox.drop"      // mailboxParams → count
	methodMemories  = "memories"          // → []api.MemoryInfo
	methodOpenMem   = "memory.open"       // memoryParams
	methodRemoveMem = "memory.remove"     // memoryParams
	methodBackup    = "memory.backup"     // memoryFile → api.MemoryInfo
	methodRestore   = "memory.restore"    // memoryFile → api.MemoryInfo
	methodShutdown  = "shutdown"          //
)

type openParams struct {
	api.Identity
	Resume bool   `json:"resume,omitempty"` // this very session again, after the connection was lost
	Hand   uint64 `json:"hand,omitempty"`   // with Resume: the message that the module has in hand, by its seq; 0: none
	Done   uint64 `json:"done,omitempty"`   // with Resume: all up to here are finished with
}

type openResult struct {
	Version string `json:"version"` // of the host
}

type closeParams struct {
	Outcome api.Outcome `json:"outcome"`
	Done    uint64      `json:"done,omitempty"` // all up to here are finished with
	Hand    uint64      `json:"hand,omitempty"` // the message that the module has in hand; 0: none
}

type nextParams struct {
	Ack uint64 `json:"ack,omitempty"` // all up to and including this seq are finished with
}

type sendParams struct {
	wireMessage
	Resent bool `json:"resent,omitempty"` // the connection was lost before the first attempt was answered
}

type endedParams struct {
	api.Identity
	Outcome api.Outcome `json:"outcome"`
}

type pattern struct {
	Pattern string `json:"pattern"`
}

type textParams struct {
	Text string `json:"text"`
}

type count struct {
	Count int `json:"count"`
}

type kept struct {
	Key   string `json:"key"`
	Value []byte `json:"value,omitempty"`
	Found bool   `json:"found,omitempty"`
}

type moduleParams struct {
	Module string `json:"module"`
}

type consoleParams struct {
	Module string        `json:"module"`
	Text   string        `json:"text,omitempty"`
	Entry  *api.LogEntry `json:"entry,omitempty"`
}

type mailboxParams struct {
	Agent  string   `json:"agent"`
	Module string   `json:"module,omitempty"`
	Dead   bool     `json:"dead,omitempty"`
	IDs    []string `json:"ids,omitempty"`
}

type memoryParams struct {
	Agent   string        `json:"agent,omitempty"`
	Records []api.Record  `json:"records,omitempty"`
	Select  api.Selection `json:"select,omitzero"`
	Query   api.Query     `json:"query,omitzero"`
	IDs     []string      `json:"ids,omitempty"`
	Filter  *api.Filter   `json:"filter,omitempty"`
}

type memoryFile struct {
	Agent   string `json:"agent"`
	Path    string `json:"path"`
	Replace bool   `json:"replace,omitempty"`
}

// wireMessage is a message as it crosses: text that is not UTF-8 goes as base64 in data.
type wireMessage struct {
	ID            string            `json:"id,omitempty"`
	Seq           uint64            `json:"seq,omitempty"`
	From          string            `json:"from,omitempty"`
	To            string            `json:"to,omitempty"`
	Topic         string            `json:"topic,omitempty"`
	Time          int64             `json:"time,omitempty"` // nanoseconds since 1970
	Text          string            `json:"text,omitempty"`
	Data          string            `json:"data,omitempty"` // base64 (RFC 4648, padded), instead of text
	ContentType   string            `json:"content_type,omitempty"`
	Headers       map[string]string `json:"headers,omitempty"`
	ReplyTo       string            `json:"reply_to,omitempty"`
	CorrelationID string            `json:"correlation_id,omitempty"`
	Deadline      int64             `json:"deadline,omitempty"` // nanoseconds since 1970
	Deaths        int               `json:"deaths,omitempty"`
}

func toWire(m api.Message) wireMessage {
	w := wireMessage{
		ID: m.ID, Seq: m.Seq, From: m.From, To: m.To, Topic: m.Topic, Time: nanoseconds(m.Time),
		ContentType: m.ContentType, Headers: m.Headers, ReplyTo: m.ReplyTo, CorrelationID: m.CorrelationID,
		Deadline: nanoseconds(m.Deadline), Deaths: m.Deaths,
	}
	if utf8.ValidString(m.Text) {
		w.Text = m.Text
	} else {
		w.Data = base64.StdEncoding.EncodeToString([]byte(m.Text))
	}
	return w
}

func (w *wireMessage) message() (api.Message, error) {
	m := api.Message{
		ID: w.ID, Seq: w.Seq, From: w.From, To: w.To, Topic: w.Topic, Time: instant(w.Time), Text: w.Text,
		ContentType: w.ContentType, Headers: w.Headers, ReplyTo: w.ReplyTo, CorrelationID: w.CorrelationID,
		Deadline: instant(w.Deadline), Deaths: w.Deaths,
	}
	if w.Data != "" {
		data, err := base64.StdEncoding.DecodeString(w.Data)
		if err != nil {
			return api.Message{}, fmt.Errorf("message data: %w: %w", api.ErrInvalid, err)
		}
		m.Text = string(data)
	}
	return m, nil
}

func nanoseconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func instant(nanoseconds int64) time.Time {
	if nanoseconds == 0 {
		return time.Time{}
	}
	return time.Unix(0, nanoseconds)
}
