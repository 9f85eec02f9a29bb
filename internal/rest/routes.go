package rest

import (
	"context"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// routes are all routes. Each says its method and path, its name and what it is for; its query, body and answer are those
// of the function that does it.
func routes() []route {
	return []route{
		on("GET", "/v1/status", "status", "Tells about the backend.", getStatus),
		on("GET", "/v1/agents", "agents", "Lists the agents that run, with their modules.", agents),
		on("GET", "/v1/agents/{agent}", "agent", "Tells of one agent that runs.", agent),
		on("GET", "/v1/agents/{agent}/modules/{module}", "module", "Tells of one module of an agent that runs.", module),

		on("GET", "/v1/agents/{agent}/mailboxes", "mailboxes", "Lists an agent's mailboxes, whether its modules run or not.", mailboxes),
		on("POST", "/v1/agents/{agent}/modules/{module}/messages", "send", "Sends a message to a module. It has been accepted when the answer comes.", send),
		on("GET", "/v1/agents/{agent}/modules/{module}/messages", "waiting", "Lists the messages that wait for a module, oldest first.", waiting),
		on("GET", "/v1/agents/{agent}/modules/{module}/dead", "dead", "Lists the messages that a module has died on five times, oldest first.", dead),
		on("POST", "/v1/agents/{agent}/modules/{module}/dead/redeliver", "redeliver", "Puts dead letters (all, if no id is named) back into the mailbox.", redeliver),
		on("DELETE", "/v1/agents/{agent}/modules/{module}/dead", "drop", "Forgets dead letters (all, if no id is named).", drop),

		on("POST", "/v1/publish", "publish", "Publishes on an MQTT topic.", publish),
		listenRoute("/v1/listen", "listen", "Streams what is published on topics that match an MQTT pattern, as server-sent events: one \"listening\", then a \"heard\" for each."),

		on("GET", "/v1/memories", "memories", "Lists all memories.", memories),
		on("GET", "/v1/memories/{agent}", "memory", "Tells of one memory.", memory),
		on("PUT", "/v1/memories/{agent}", "createMemory", "Makes an empty memory, and leaves one that is there as it is.", createMemory),
		on("DELETE", "/v1/memories/{agent}", "removeMemory", "Removes a memory for good.", removeMemory),
		on("POST", "/v1/memories/{agent}/compact", "compactMemory", "Gives the room of deleted records back to the disk.", compactMemory),
		on("GET", "/v1/memories/{agent}/records", "records", "Lists records in time order, the newest first.", records),
		on("POST", "/v1/memories/{agent}/records", "addRecords", "Stores records. What has an id that is there already is left as it is.", addRecords),
		on("PATCH", "/v1/memories/{agent}/records", "updateRecords", "Replaces text, metadata, time or vector of existing records; what is left out stays as it is.", updateRecords),
		on("DELETE", "/v1/memories/{agent}/records", "clearRecords", "Removes all records.", clearRecords),
		on("GET", "/v1/memories/{agent}/records/{id}", "record", "Returns one record.", record),
		on("DELETE", "/v1/memories/{agent}/records/{id}", "deleteRecord", "Removes one record.", deleteRecord),
		on("POST", "/v1/memories/{agent}/get", "getRecords", "Lists records as a selection says, with a filter.", getRecords),
		on("POST", "/v1/memories/{agent}/query", "queryRecords", "Finds the records nearest to a text or a vector, nearest first.", queryRecords),
		on("POST", "/v1/memories/{agent}/retrieve", "retrieveRecords", "Finds records by a retriever: exactly one of by_time, time_weighted, alpha_beta, marginal_relevance.", retrieveRecords),
		on("POST", "/v1/memories/{agent}/count", "countRecords", "Counts the records that match a filter.", countRecords),
		on("POST", "/v1/memories/{agent}/delete", "deleteRecords", "Removes records by ids or filter.", deleteRecords),
	}
}

func getStatus(ctx context.Context, a asked[none, none]) (api.Status, error) {
	return a.host.Status(ctx)
}

// names are those in the paths.
type names struct {
	Agent  string `json:"agent"`  // the agent's name
	Module string `json:"module"` // the module's name
	ID     string `json:"id"`     // the record's id
}

// counted is an answer that counts.
type counted struct {
	Count int `json:"count"` // how many it was done to
}

// list is a list that is never null.
func list[T any](l []T, err error) ([]T, error) {
	if l == nil {
		l = []T{}
	}
	return l, err
}
