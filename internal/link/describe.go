package link

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"

	"github.com/concurrent-modular-agent/coma/internal/api"
	"github.com/concurrent-modular-agent/coma/internal/describe"
	"github.com/concurrent-modular-agent/coma/internal/jsonrpc"
)

// methodDiscover is OpenRPC's own: it returns the document that describes all methods.
const methodDiscover = "rpc.discover"

// about says what a method is for. What it takes and gives is in the code that answers it.
type about struct{ method, text string }

// Of a client on its host, in the order in which the document has them.
var clientMethods = []about{
	{methodOpen, "Opens a session: takes the module's seat, or with mode \"guest\" speaks beside it, or with mode \"continue\" takes it up as it was left. After a lost connection, resume says that it is the same session again."},
	{methodClose, "Ends the session and says how the module ended: finished (the message in hand is done with), stopped (it comes again), died (it comes again, and counts as a death of it)."},
	{methodSend, "Puts a message into the mailbox of a module (to: \"module\" of the same agent, or \"agent/module\"). Answered when the host has accepted it; waits while the mailbox is full. A repetition after a lost connection has the same id and says resent."},
	{methodNext, "The module has finished with all messages up to ack, and has the one after in hand, or waits for it. Messages are pushed ahead as \"message\"."},
	{methodLater, "The module has finished with all messages up to ack and wants none at present."},
	{methodPoll, "As next, without waiting: answered when what is there has been pushed."},
	{methodPending, "Counts the messages that wait, without the one in hand."},
	{methodPublish, "Publishes bytes (payload, base64) on an MQTT topic."},
	{methodSubscribe, "Has what is published on topics that match an MQTT pattern arrive in the module's mailbox, as messages with their topic set."},
	{methodUnsubscribe, "Ends a subscription."},
	{methodLog, "Writes an entry of the module's log."},
	{methodPrint, "Shows text to the person at the console, as it is."},
	{methodInput, "Asks the person at the console and waits for a line. Error 1001 where there is nobody to ask."},
	{methodKeep, "Keeps a small value for the module's later generations; without found it removes the key."},
	{methodKept, "Returns a value that was kept; found is missing where there is none."},

	{methodMemoryAdd, "Stores records and returns their ids. What has an id that is there already is left as it is."},
	{methodMemoryGet, "Returns records in time order, the newest first unless oldest is set."},
	{methodMemoryQuery, "Returns the records nearest to a text or a vector, nearest first."},
	{methodMemoryRetrieve, "Returns records by a retriever: exactly one of by_time, time_weighted, alpha_beta, marginal_relevance."},
	{methodMemoryUpdate, "Replaces text, metadata, time or vector of existing records; what is left out stays as it is."},
	{methodMemoryDelete, "Removes records by ids or filter, and counts them."},
	{methodMemoryCount, "Counts the records that match a filter; without one, all."},
	{methodMemoryClear, "Removes all records, and counts them."},

	{methodStatus, "Tells about the backend."},
	{methodAgents, "Tells of the agents that run, and of their modules."},
	{methodForget, "Removes all that is kept of an agent that nobody runs: its memory, its mailboxes with all messages, what its modules kept."},
	{methodPost, "Sends a message from outside (to: \"agent/module\")."},
	{methodListen, "Tells, as \"heard\", of everything published on topics that match an MQTT pattern, until the call is cancelled."},
	{methodMailboxes, "Tells of an agent's mailboxes, whether its modules run or not."},
	{methodWaiting, "Returns the messages that wait for a module, or with dead its dead letters, oldest first."},
	{methodRedeliver, "Puts dead letters (all, if no id is named) back into the mailbox, and counts them."},
	{methodDropDead, "Forgets dead letters (all, if no id is named), and counts them."},
	{methodMemories, "Tells of the memories of all agents; with all, of the other collections of Chroma clients."},
	{methodOpenMem, "Holds an agent's memory open until the connection ends, or memory.close."},
	{methodCloseMem, "Lets a memory go that memory.open has opened."},
	{methodCreateMem, "Makes an empty memory for an agent that has none."},
	{methodReembed, "Makes all vectors of a memory anew with another embedder, and tells its \"progress\" meanwhile."},
	{methodRemoveMem, "Removes a memory for good."},
	{methodCompact, "Gives the room of deleted records back to the disk."},
	{methodBackup, "Writes a memory to a file on the host's machine; the name ends in .json or .jsonl.gz."},
	{methodRestore, "Reads a backup on the host's machine into a memory."},
	{methodShutdown, "Asks a backend that runs as a daemon to stop."},
	{methodDiscover, "Returns this document."},

	{methodAttach, "Announces that the caller runs an agent, and takes what its modules say to the console. For as long as the connection lives."},
	{methodReport, "Publishes the state of one module of the attached agent."},
	{methodEnded, "Says how a module's process ended."},
	{methodRemove, "Forgets a module: its state, its mailbox with all messages, what it kept."},
	{methodDetach, "Leaves the attached agent; its mailboxes stay."},
}

// Of the host on its client.
var hostMethods = []about{
	{methodMessage, "The next message for the module. It is the module's to finish with: see next."},
	{methodSeatEnded, "The session is over: another has taken the seat, or the host has closed it."},
	{methodConsoleLog, "An entry of a module's log, for who runs the agent."},
	{methodConsolePrint, "Text that a module shows to the person at the console, for who runs the agent."},
	{methodConsoleInput, "A module asks the person at the console for a line: of who runs the agent."},
	{methodConsoleListen, "Something was published: see listen. The first one, without a topic, says that the listening has begun."},
	{methodProgress, "How far memory.reembed has come."},
}

// notifications are the methods without an answer.
var notifications = map[string]reflect.Type{
	methodNext: reflect.TypeFor[nextParams](), methodLater: reflect.TypeFor[nextParams](),
	methodLog: reflect.TypeFor[api.LogEntry](), methodPrint: reflect.TypeFor[textParams](),
	methodMessage: reflect.TypeFor[wireMessage](), methodSeatEnded: reflect.TypeFor[jsonrpc.Error](),
	methodConsoleLog: reflect.TypeFor[consoleParams](), methodConsolePrint: reflect.TypeFor[consoleParams](),
	methodConsoleListen: reflect.TypeFor[api.Heard](), methodProgress: reflect.TypeFor[progressParams](),
}

// shapes returns what all methods that have an answer take and give.
func shapes() map[string]shape {
	all := map[string]shape{
		methodDiscover:     shapeOf[none, map[string]any](),
		methodConsoleInput: shapeOf[consoleParams, textParams](),
	}
	for name, m := range connMethods {
		all[name] = m.shape
	}
	for name, m := range seatMethods {
		all[name] = m.shape
	}
	for name, m := range memoryMethods {
		all[name] = m.shape
	}
	return all
}

// shape is what a method takes and what it gives: its description is made of it.
type shape struct{ params, result reflect.Type }

func shapeOf[P, R any]() shape { return shape{reflect.TypeFor[P](), reflect.TypeFor[R]()} }

// Methods describes all methods of the link.
func Methods() []describe.Method {
	known := shapes()
	var methods []describe.Method
	add := func(list []about, byHost bool) {
		for _, a := range list {
			m := describe.Method{Name: a.method, Description: a.text, ByHost: byHost}
			if of, ok := notifications[a.method]; ok {
				m.Notification, m.Params = true, of
			} else {
				m.Params, m.Result = known[a.method].params, known[a.method].result
			}
			methods = append(methods, m)
		}
	}
	add(clientMethods, false)
	add(hostMethods, true)
	return methods
}

// Errors are the errors of the link by their codes: coma's own, and JSON-RPC's.
func Errors() describe.Errors {
	errs := describe.Errors{
		1000:                       "failed",
		jsonrpc.CodeInvalidRequest: "invalid request", jsonrpc.CodeMethodNotFound: "no such method", jsonrpc.CodeInvalidParams: "invalid params",
		jsonrpc.CodeInternal: "internal error", jsonrpc.CodeParse: "parse error",
	}
	for _, err := range []error{api.ErrNoInput, api.ErrNotFound, api.ErrUnknown, api.ErrInvalid, api.ErrTooLarge, api.ErrReplaced, api.ErrClosed, api.ErrUnauthorized, api.ErrInUse} {
		errs[api.Code(err)] = err.Error()
	}
	return errs
}

const documentText = "What a host offers to modules, to those who run agents, and to tools: JSON-RPC 2.0 over a WebSocket at /rpc, " +
	"or for single calls that need no session, a POST there. Over the network, send \"Authorization: Bearer <token>\", or from a web page " +
	"the WebSocket subprotocols \"coma\" and \"coma.token.<token>\". The notification \"$/cancel\" with an id gives up a call."

// examples are a call of each method and its answer: what a test has called and got.
//
//go:embed examples.json
var examples string

// discover returns the document that describes all methods.
func discover(version string) ([]byte, error) {
	var known map[string]*describe.Pairing
	if err := json.Unmarshal([]byte(examples), &known); err != nil {
		return nil, fmt.Errorf("read examples: %w", err)
	}
	methods := Methods()
	for i, m := range methods {
		methods[i].Example = known[m.Name]
	}
	return describe.OpenRPC(version, documentText, methods, Errors())
}

// ServeDocument answers with the OpenRPC document.
func (s *Server) ServeDocument(w http.ResponseWriter, _ *http.Request) {
	text, err := s.document()
	if err != nil {
		http.Error(w, fmt.Sprintf("describe the API: %v", err), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(text) // whoever has gone does not read it
}
