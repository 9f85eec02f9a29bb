package main

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

func TestConditions(t *testing.T) {
	berlin := time.FixedZone("", 3600)
	now := time.Date(2026, 11, 21, 15, 4, 5, 0, berlin)
	for _, test := range []struct {
		given        conditions
		filter       *api.Filter
		since, until time.Time
		err          string
	}{
		{given: conditions{}},
		{given: conditions{where: []string{"mood=calm"}}, filter: &api.Filter{Op: "eq", Key: "mood", Value: "calm"}},
		{given: conditions{where: []string{`n != "3"`}}, filter: &api.Filter{Op: "ne", Key: "n", Value: "3"}},
		{given: conditions{where: []string{"a=b=c"}}, filter: &api.Filter{Op: "eq", Key: "a", Value: "b=c"}},
		{given: conditions{where: []string{"word=inf"}}, filter: &api.Filter{Op: "eq", Key: "word", Value: "inf"}},
		{given: conditions{where: []string{"empty="}}, filter: &api.Filter{Op: "eq", Key: "empty", Value: ""}},
		{given: conditions{where: []string{"n>=3", "w<0.5", "ok=true", "no=false", "t>-1e3"}, contains: []string{"rain"}}, filter: &api.Filter{Op: "and", Filters: []api.Filter{
			{Op: "gte", Key: "n", Value: int64(3)}, {Op: "lt", Key: "w", Value: 0.5}, {Op: "eq", Key: "ok", Value: true}, {Op: "eq", Key: "no", Value: false},
			{Op: "gt", Key: "t", Value: -1000.0}, {Op: "contains", Value: "rain"},
		}}},
		{given: conditions{since: "2h", until: "15:00"}, since: now.Add(-2 * time.Hour), until: time.Date(2026, 11, 21, 15, 0, 0, 0, berlin)},
		{given: conditions{since: "7d", until: "2026-11-20"}, since: now.AddDate(0, 0, -7), until: time.Date(2026, 11, 20, 0, 0, 0, 0, berlin)},
		{given: conditions{since: "2026-11-21 07:00", until: "2026-11-21T07:00:00.5Z"}, since: time.Date(2026, 11, 21, 7, 0, 0, 0, berlin), until: time.Date(2026, 11, 21, 7, 0, 0, 5e8, time.UTC)},
		{given: conditions{where: []string{"mood"}}, err: "want key=value"},
		{given: conditions{where: []string{" =x"}}, err: "names no key"},
		{given: conditions{where: []string{`a="x`}}, err: "does not end in a quote"},
		{given: conditions{since: "yesterday"}, err: `--since "yesterday": want a time`},
		{given: conditions{until: "-2h"}, err: `--until "-2h"`},
	} {
		filter, since, until, err := test.given.parse(now)
		if err != nil {
			if test.err == "" || !strings.Contains(err.Error(), test.err) {
				t.Errorf("%+v: %v", test.given, err)
			}
			continue
		}
		if test.err != "" || !reflect.DeepEqual(filter, test.filter) || !since.Equal(test.since) || !until.Equal(test.until) {
			t.Errorf("%+v: %+v, %v, %v", test.given, filter, since, until)
		}
	}
}
