package main

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/concurrent-modular-agent/coma/internal/api"
)

// conditions are the flags that say which records of a memory are meant. All that are given must hold.
type conditions struct {
	where, contains []string
	since, until    string
}

const conditionsHelp = fieldConditionsHelp + ` --since and --until
take a time (2026-11-21, "2026-11-21 15:04", 15:04, or RFC 3339) or an age (90m, 2h, 7d). Several conditions must
all hold.`

// fieldConditionsHelp is about the conditions on a record's fields, without its time.
const fieldConditionsHelp = `--where compares metadata: key=value, key!=value, key>value, >=, <, <=. A value that reads as a number, or is
true or false, is one; in double quotes it is text. --contains looks for a part of the text.`

func (c *conditions) flags(cmd *cobra.Command) {
	c.fieldFlags(cmd)
	flags := cmd.Flags()
	flags.StringVar(&c.since, "since", "", "only records of this time or later")
	flags.StringVar(&c.until, "until", "", "only records before this time")
}

// fieldFlags are those of a filter: conditions on anything but the time.
func (c *conditions) fieldFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVar(&c.where, "where", nil, "only records whose metadata fit, as in mood=calm or 'n>=3'; can be given several times")
	flags.StringArrayVar(&c.contains, "contains", nil, "only records whose text has this in it; can be given several times")
}

// filter returns what the flags of fieldFlags say; nil: nothing.
func (c *conditions) filter() (*api.Filter, error) {
	filter, _, _, err := c.parse(time.Time{})
	return filter, err
}

// parse returns what the flags say; ages count back from now.
func (c *conditions) parse(now time.Time) (filter *api.Filter, since, until time.Time, err error) {
	var filters []api.Filter
	var errs []error
	for _, text := range c.where {
		f, err := parseWhere(text)
		filters, errs = append(filters, f), append(errs, err)
	}
	for _, part := range c.contains {
		filters = append(filters, api.Filter{Op: "contains", Value: part})
	}
	if since, err = parseWhen(c.since, now); err != nil {
		errs = append(errs, fmt.Errorf("--since %w", err))
	}
	if until, err = parseWhen(c.until, now); err != nil {
		errs = append(errs, fmt.Errorf("--until %w", err))
	}
	switch len(filters) {
	case 0:
	case 1:
		filter = &filters[0]
	default:
		filter = &api.Filter{Op: "and", Filters: filters}
	}
	return filter, since, until, errors.Join(errs...)
}

// comparison takes key, operator and value apart, at the first operator.
var comparison = regexp.MustCompile(`(?s)^([^=!<>]+)(!=|>=|<=|=|>|<)(.*)$`)

var operators = map[string]string{"=": "eq", "!=": "ne", ">": "gt", ">=": "gte", "<": "lt", "<=": "lte"}

func parseWhere(text string) (api.Filter, error) {
	parts := comparison.FindStringSubmatch(text)
	if parts == nil {
		return api.Filter{}, fmt.Errorf("--where %q: want key=value, with =, !=, >, >=, < or <=", text)
	}
	key := strings.TrimSpace(parts[1])
	if key == "" {
		return api.Filter{}, fmt.Errorf("--where %q: it names no key", text)
	}
	value, err := parseValue(strings.TrimSpace(parts[3]))
	if err != nil {
		return api.Filter{}, fmt.Errorf("--where %q: %w", text, err)
	}
	return api.Filter{Op: operators[parts[2]], Key: key, Value: value}, nil
}

// parseValue reads a value as metadata have it.
func parseValue(text string) (any, error) {
	if strings.HasPrefix(text, `"`) {
		plain, err := strconv.Unquote(text)
		if err != nil {
			return nil, fmt.Errorf("%s does not end in a quote, or has a bad escape", text)
		}
		return plain, nil
	}
	switch text {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, nil
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil && strings.ContainsAny(text, "0123456789") { // not "inf", a word
		return f, nil
	}
	return text, nil
}

// parseWhen reads a time, local unless it says otherwise, or an age; "" is the zero time.
func parseWhen(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if age, err := time.ParseDuration(text); err == nil && age >= 0 {
		return now.Add(-age), nil
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			return now.AddDate(0, 0, -int(n)), nil
		}
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t, nil
	}
	for _, layout := range []string{time.DateOnly, "2006-01-02 15:04", time.DateTime, "2006-01-02T15:04", "2006-01-02T15:04:05"} {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return t, nil
		}
	}
	for _, layout := range []string{"15:04", time.TimeOnly} {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			year, month, day := now.Date()
			return time.Date(year, month, day, t.Hour(), t.Minute(), t.Second(), 0, now.Location()), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q: want a time, as in 2026-11-21, \"2026-11-21 15:04\" or 15:04, or an age, as in 2h or 7d", text)
}
