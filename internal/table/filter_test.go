package table

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

func TestFilter(t *testing.T) {
	big := int64(1<<53 + 1) // no float64 holds it
	r := &Row{Record: api.Record{Text: "The soil is dry", Metadata: api.Metadata{
		"i": int64(2), "f": 2.0, "half": 2.5, "s": "b", "yes": true, "big": big, "max": int64(math.MaxInt64), "minus": -0.5}}}
	for _, test := range []struct {
		filter string
		want   bool
	}{
		{`{"op":"eq","key":"i","value":2.0}`, true},
		{`{"op":"eq","key":"f","value":2}`, true},
		{`{"op":"eq","key":"i","value":"2"}`, false},
		{`{"op":"eq","key":"none","value":2}`, false},
		{`{"op":"ne","key":"none","value":2}`, true},
		{`{"op":"ne","key":"i","value":2}`, false},
		{`{"op":"eq","key":"yes","value":true}`, true},
		{`{"op":"eq","key":"big","value":9007199254740992.0}`, false},
		{`{"op":"gt","key":"big","value":9007199254740992.0}`, true},
		{`{"op":"lt","key":"max","value":9223372036854775808.0}`, true},
		{`{"op":"gt","key":"max","value":-1e300}`, true},
		{`{"op":"gt","key":"half","value":2}`, true},
		{`{"op":"lt","key":"i","value":2.5}`, true},
		{`{"op":"gt","key":"minus","value":-1}`, true},
		{`{"op":"lt","key":"minus","value":0}`, true},
		{`{"op":"gte","key":"i","value":2.0}`, true},
		{`{"op":"lte","key":"f","value":2}`, true},
		{`{"op":"gt","key":"s","value":"a"}`, true},
		{`{"op":"gt","key":"s","value":1}`, false},
		{`{"op":"lt","key":"none","value":1}`, false},
		{`{"op":"in","key":"i","value":[1,2.0]}`, true},
		{`{"op":"in","key":"none","value":[1]}`, false},
		{`{"op":"nin","key":"none","value":[1]}`, true},
		{`{"op":"nin","key":"s","value":["b",1]}`, false},
		{`{"op":"contains","value":"soil"}`, true},
		{`{"op":"notcontains","value":"soil"}`, false},
		{`{"op":"regex","value":"(?i)SOIL.*dry$"}`, true},
		{`{"op":"notregex","value":"^soil"}`, true},
		{`{"op":"and","filters":[{"op":"eq","key":"i","value":2},{"op":"contains","value":"wet"}]}`, false},
		{`{"op":"or","filters":[{"op":"eq","key":"i","value":2},{"op":"contains","value":"wet"}]}`, true},
	} {
		f := parseFilter(t, test.filter)
		matches, err := Compile(f)
		if err != nil {
			t.Errorf("%s: %v", test.filter, err)
		} else if matches.Match(r, "") != test.want {
			t.Errorf("%s: %v", test.filter, !test.want)
		}
	}
}

func TestFilterOfGoValues(t *testing.T) {
	r := &Row{Record: api.Record{Metadata: api.Metadata{"i": int64(2), "s": "b"}}}
	for _, f := range []api.Filter{{Op: "eq", Key: "i", Value: uint8(2)}, {Op: "in", Key: "i", Value: []int{1, 2}},
		{Op: "in", Key: "s", Value: []string{"b"}}, {Op: "gte", Key: "i", Value: float32(2)}} {
		if matches, err := Compile(&f); err != nil || !matches.Match(r, "") {
			t.Errorf("%+v: %v", f, err)
		}
	}
}

func TestFilterRefused(t *testing.T) {
	deep := strings.Repeat(`{"op":"and","filters":[`, 40) + `{"op":"contains","value":"x"}` + strings.Repeat(`]}`, 40)
	for filter, says := range map[string]string{
		`{}`:                                                       "unknown op",
		`{"op":"like","key":"k","value":1}`:                        "unknown op",
		`{"op":"eq","value":1}`:                                    "needs a key",
		`{"op":"eq","key":"k"}`:                                    "null",
		`{"op":"eq","key":"k","value":[1]}`:                        "is a list, not a string",
		`{"op":"gt","key":"k","value":true}`:                       "no order",
		`{"op":"in","key":"k","value":[]}`:                         "at least one",
		`{"op":"nin","key":"k","value":3}`:                         "list",
		`{"op":"in","key":"k","value":[{}]}`:                       "value 0",
		`{"op":"contains","value":""}`:                             "part of the text",
		`{"op":"contains","value":3}`:                              "part of the text",
		`{"op":"contains","key":"k"}`:                              "no key",
		`{"op":"regex","value":""}`:                                "pattern",
		`{"op":"notregex","value":"("}`:                            "missing",
		`{"op":"and"}`:                                             "needs filters",
		`{"op":"or","filters":[{"op":"eq"}]}`:                      "needs a key",
		`{"op":"and","key":"k"}`:                                   "no key",
		`{"op":"and","value":1}`:                                   "no value",
		`{"op":"eq","key":"k","value":1,"filters":[{"op":"and"}]}`: "no filters",
		deep: "levels deep",
	} {
		if _, err := Compile(parseFilter(t, filter)); !errors.Is(err, api.ErrInvalid) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", filter, err)
		}
	}
}

func parseFilter(t *testing.T, s string) *api.Filter {
	t.Helper()
	var f api.Filter
	if err := json.Unmarshal([]byte(s), &f); err != nil {
		t.Fatal(err)
	}
	return &f
}
