package broker

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/caarlos0/env/v11"
	"github.com/goccy/go-yaml"
)

// ConfigError says where a configuration is wrong and which rule it breaks. It never holds the value.
type ConfigError struct {
	File         string
	Line, Column int // 0 if the value is not in the file
	Key          string
	Rule         string
	Advice       string
}

func (e *ConfigError) Error() string {
	var b strings.Builder
	b.WriteString("configuration ")
	if e.File != "" {
		b.WriteString(e.File)
	}
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", e.Line, e.Column)
	}
	if e.File != "" {
		b.WriteString(": ")
	}
	if e.Key != "" {
		b.WriteString(e.Key + " ")
	}
	b.WriteString(e.Rule)
	return b.String()
}

// Hint is what to do; the command line prints it below the error.
func (e *ConfigError) Hint() string { return e.Advice }

// wrong finds the key in the file, if it is there.
func (c *Config) wrong(key, rule, advice string) error {
	e := &ConfigError{File: c.file, Key: key, Rule: rule, Advice: advice}
	for k := key; k != "" && c.text != nil; {
		path, err := yaml.PathString("$." + k)
		if err == nil {
			if node, err := path.ReadNode(strings.NewReader(string(c.text))); err == nil && node.GetToken() != nil {
				e.Line, e.Column = node.GetToken().Position.Line, node.GetToken().Position.Column
				break
			}
		}
		// A missing key is shown where its parent is.
		i := strings.LastIndexByte(k, '.')
		if i < 0 {
			break
		}
		k = k[:i]
	}
	return e
}

var duplicate = regexp.MustCompile(`mapping key "([^"]*)" already defined`)

var quoted = regexp.MustCompile(`"[^"]*"`)

// yamlError drops the source lines that goccy's errors print, which may hold secrets, and keeps position and rule.
func yamlError(file string, err error) error {
	var ye yaml.Error
	if !errors.As(err, &ye) || ye.GetToken() == nil {
		return &ConfigError{File: file, Rule: "is not valid YAML"}
	}
	e := &ConfigError{File: file, Line: ye.GetToken().Position.Line, Column: ye.GetToken().Position.Column}
	var unknown *yaml.UnknownFieldError
	twice := duplicate.FindStringSubmatch(ye.GetMessage())
	switch {
	case errors.As(err, &unknown):
		e.Key, e.Rule, e.Advice = ye.GetToken().Value, "is not a known key", "see deploy/examples for every key"
	case twice != nil:
		e.Key, e.Rule = twice[1], "is given twice"
	default:
		// Type errors quote the value.
		e.Rule = quoted.ReplaceAllString(ye.GetMessage(), "the value")
	}
	return e
}

var envName = regexp.MustCompile(`"([A-Za-z.]+)"`)

// envKey takes the field's name, and only that, out of the environment library's error.
func envKey(err error) string {
	var agg env.AggregateError
	if errors.As(err, &agg) && len(agg.Errors) > 0 {
		var pe env.ParseError
		if errors.As(agg.Errors[0], &pe) {
			return pe.Name
		}
		if m := envName.FindStringSubmatch(agg.Errors[0].Error()); m != nil {
			return m[1]
		}
	}
	return EnvPrefix + "*"
}
