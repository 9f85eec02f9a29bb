package chroma

import (
	"errors"
	"regexp"
	"regexp/syntax"
	"strings"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// condition is what a where or where_document clause says: a filter, or without one an answer that is the same for all
// records. The zero condition lets nothing through.
type condition struct {
	filter *api.Filter
	all    bool
}

var anything = condition{all: true}

// nothing reports whether no record can match.
func (c condition) nothing() bool { return c.filter == nil && !c.all }

// join combines conditions with "and" or "or".
func join(op string, parts []condition) condition {
	and := op == "and"
	var filters []api.Filter
	for _, p := range parts {
		switch {
		case p.filter != nil:
			filters = append(filters, *p.filter)
		case p.all != and:
			return condition{all: !and} // it alone decides
		}
	}
	switch len(filters) {
	case 0:
		return condition{all: and}
	case 1:
		return condition{filter: &filters[0]}
	}
	return condition{filter: &api.Filter{Op: op, Filters: filters}}
}

// clause is a where clause (of metadata), or a where_document clause.
type clause struct {
	text string // of the error of a wrong one
	part func(key string, value any) (condition, error)
}

var (
	whereClause    = clause{text: "Invalid where clause", part: metadataCondition}
	documentClause = clause{text: "Invalid where document clause", part: documentCondition}
)

var errClause = errors.New("wrong clause")

// compile makes a condition of {"$and": […]}, {"$or": […]}, or what the clause's own part knows. Several keys mean that
// each must hold; the real Chroma refuses them.
func (c clause) compile(value any) (condition, error) {
	members, ok := value.([]member)
	if !ok || len(members) == 0 {
		return condition{}, errClause
	}
	parts := make([]condition, len(members))
	for i, m := range members {
		var err error
		switch m.key {
		case "$and", "$or":
			parts[i], err = c.group(strings.TrimPrefix(m.key, "$"), m.value)
		default:
			parts[i], err = c.part(m.key, m.value)
		}
		if err != nil {
			return condition{}, err
		}
	}
	return join("and", parts), nil
}

func (c clause) group(op string, value any) (condition, error) {
	list, ok := value.([]any)
	if !ok {
		return condition{}, errClause
	}
	parts := make([]condition, len(list))
	for i, v := range list {
		var err error
		if parts[i], err = c.compile(v); err != nil {
			return condition{}, err
		}
	}
	return join(op, parts), nil
}

// documentKey names the document where a where clause is to look at it.
const documentKey = "#document"

// metadataCondition is one key of a where clause: a value to equal, or operators with their operands.
func metadataCondition(key string, value any) (condition, error) {
	operators, ok := value.([]member)
	if !ok {
		operators = []member{{"$eq", value}}
	}
	if len(operators) == 0 || strings.HasPrefix(key, "$") && ok {
		return condition{}, errClause
	}
	parts := make([]condition, len(operators))
	for i, m := range operators {
		var err error
		if parts[i], err = comparison(key, m.key, m.value); err != nil {
			return condition{}, err
		}
	}
	return join("and", parts), nil
}

func comparison(key, operator string, operand any) (condition, error) {
	// As in the real Chroma, these look at the document, whatever the key is.
	if cond, err := documentCondition(operator, operand); err == nil || !errors.Is(err, errClause) {
		return cond, err
	}
	op := strings.TrimPrefix(operator, "$")
	switch operator {
	case "$eq", "$ne":
		switch operand.(type) {
		case string, int64, float64, bool:
		default:
			return condition{}, errClause
		}
	case "$gt", "$gte", "$lt", "$lte":
		switch operand.(type) {
		case int64, float64:
		default:
			return condition{}, errClause
		}
	case "$in", "$nin":
		if !oneKind(operand) {
			return condition{}, errClause
		}
	default:
		return condition{}, errClause
	}
	if key == documentKey {
		return condition{}, invalid("Cannot filter using metadata key '%s' with type '%s' because indexing is disabled", documentKey, kindName(operand))
	}
	if key == "" {
		return condition{all: op == "ne" || op == "nin"}, nil // no record has it
	}
	return condition{filter: &api.Filter{Op: op, Key: key, Value: operand}}, nil
}

// kindName is what the real Chroma calls the kind of a value.
func kindName(v any) string {
	if list, ok := v.([]any); ok {
		v = list[0]
	}
	switch v.(type) {
	case string:
		return "Str"
	case int64:
		return "Int"
	case float64:
		return "Float"
	case bool:
		return "Bool"
	}
	return ""
}

// oneKind reports whether operand is a list of values of one kind, and not an empty one.
func oneKind(operand any) bool {
	list, ok := operand.([]any)
	if !ok || len(list) == 0 {
		return false
	}
	first := kindName(list[0])
	for _, v := range list {
		if _, nested := v.([]any); nested || kindName(v) != first {
			return false
		}
	}
	return first != ""
}

// documentCondition is one operator of a where_document clause.
func documentCondition(operator string, operand any) (condition, error) {
	text, ok := operand.(string)
	op := strings.ReplaceAll(strings.TrimPrefix(operator, "$"), "not_", "not")
	switch operator {
	case "$contains", "$not_contains":
	case "$regex", "$not_regex":
		if !ok {
			break
		}
		if _, err := regexp.Compile(text); err != nil {
			var detail *syntax.Error
			if errors.As(err, &detail) {
				return condition{}, invalid("Regex syntax error: %s: %s", detail.Code, detail.Expr)
			}
			return condition{}, invalid("Regex syntax error: %v", err)
		}
	default:
		return condition{}, errClause
	}
	if !ok {
		return condition{}, errClause
	}
	if text == "" { // it is in every document, but not in a null
		op, text = strings.Replace(op, "contains", "regex", 1), "(?:)"
	}
	return condition{filter: &api.Filter{Op: op, Value: text}}, nil
}
