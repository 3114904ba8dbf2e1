package agents

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/caarlos0/env/v11"
	"github.com/go-playground/validator/v10"
	"github.com/goccy/go-yaml"

	"waypost/agents/intake"
	"waypost/agents/route"
	"waypost/agents/store"
	"waypost/agents/witness"
	"waypost/schemas"
)

// Config is agent.yaml. It holds paths to secrets, never secrets. Relative paths count from the file's own folder.
// Environment variables named in the env tags override the file.
type Config struct {
	Agency string `yaml:"agency" env:"WAYPOST_AGENCY" validate:"required,agency_id"`

	Keys           string      `yaml:"keys" env:"WAYPOST_KEYS"`                                  // folder of the private keys; "keys"
	PassphraseFile string      `yaml:"passphrase_file" env:"WAYPOST_PASSPHRASE_FILE"`            // when the keys are under a passphrase
	Grant          string      `yaml:"grant" env:"WAYPOST_GRANT"`                                // what `agent join` wrote; "grant.json"
	Data           string      `yaml:"data" env:"WAYPOST_DATA"`                                  // folder of the store; "data"
	MaxStoreMB     int         `yaml:"max_store_mb" env:"WAYPOST_MAX_STORE_MB" validate:"gte=0"` // 0: as large as the disk
	Store          StoreConfig `yaml:"store"`

	Brokers []string `yaml:"brokers" env:"WAYPOST_BROKERS"` // instead of the grant's addresses

	Ledger       witness.Settings `yaml:"ledger"`
	OnRedelivery Redelivery       `yaml:"on_redelivery" env:"WAYPOST_ON_REDELIVERY" validate:"oneof=ask accept refuse"` // when an administrator asks to route again; "ask"
	OnWithdrawal intake.Policy    `yaml:"on_withdrawal" env:"WAYPOST_ON_WITHDRAWAL" validate:"oneof=ask stop erase"`    // what is answered by itself; "ask"

	API    APIConfig          `yaml:"api" validate:"required"`
	Health HealthConfig       `yaml:"health"`
	Sinks  []SinkConfig       `yaml:"sinks" validate:"unique=Name,dive"`
	Routes []route.RuleConfig `yaml:"routes" validate:"dive"`

	base string
	file string
}

// APIConfig is where the local HTTP API listens. Beyond loopback it needs TLS.
type APIConfig struct {
	Listen string `yaml:"listen" env:"WAYPOST_API_LISTEN" validate:"required"`
	Cert   string `yaml:"cert" env:"WAYPOST_API_CERT" validate:"required_with=Key"`
	Key    string `yaml:"key" env:"WAYPOST_API_KEY" validate:"required_with=Cert"`
}

// SinkConfig is one of the agency's own systems: exactly one of Folder and Webhook.
type SinkConfig struct {
	Name     string               `yaml:"name" validate:"required,max=40,agency_id"`
	Required *bool                `yaml:"required"` // true unless said otherwise: the receipt waits for it
	Folder   *route.FolderConfig  `yaml:"folder" validate:"required_without=Webhook,excluded_with=Webhook,omitempty"`
	Webhook  *route.WebhookConfig `yaml:"webhook" validate:"omitempty"`
}

func (s SinkConfig) required() bool { return s.Required == nil || *s.Required }

// ConfigError says where in a file which rule is broken.
type ConfigError struct {
	File   string
	Text   string // line:column key rule
	Advice string
	cause  error
}

func (e *ConfigError) Error() string { return e.File + ": " + e.Text }

// Unwrap is what programs tell errors by.
func (e *ConfigError) Unwrap() error { return e.cause }

// Hint says what to do next.
func (e *ConfigError) Hint() string { return e.Advice }

// LoadConfig reads and checks a file. Every error names file, line, key and rule; none repeats a line of the file, which
// could hold what somebody pasted into the wrong place.
func LoadConfig(path string) (*Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, &ConfigError{File: path, Text: plainPathError(err), Advice: "make one with `waypost agent init`"}
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("resolve config path: %w", err)
	}
	c := &Config{Keys: "keys", Grant: "grant.json", Data: "data", OnWithdrawal: intake.PolicyAsk, OnRedelivery: RedeliveryAsk, Ledger: witness.DefaultSettings(), API: APIConfig{Listen: "127.0.0.1:8420"}, base: filepath.Dir(abs), file: abs}
	check := validator.New(validator.WithRequiredStructEnabled())
	if err := check.RegisterValidation("agency_id", func(f validator.FieldLevel) bool { return schemas.ValidAgencyID(f.Field().String()) }); err != nil {
		return nil, err
	}
	if err := yaml.UnmarshalWithOptions(text, c, yaml.Strict(), yaml.Validator(check)); err != nil {
		return nil, &ConfigError{File: path, Text: plainRule(yaml.FormatError(err, false, false)), Advice: "see deploy/examples/agent.yaml for every key"}
	}
	if err := env.Parse(c); err != nil {
		return nil, &ConfigError{File: "environment", Text: "a WAYPOST_ variable is not of its key's type"}
	}
	if err := check.Struct(c); err != nil {
		return nil, &ConfigError{File: "environment", Text: ruleOf(err)}
	}
	for _, p := range []*string{&c.Keys, &c.PassphraseFile, &c.Grant, &c.Data, &c.API.Cert, &c.API.Key, &c.Health.TokenFile} {
		c.resolve(p)
	}
	for i := range c.Sinks {
		if f := c.Sinks[i].Folder; f != nil {
			f.Name = c.Sinks[i].Name
			c.resolve(&f.Dir)
		}
		if w := c.Sinks[i].Webhook; w != nil {
			w.Name = c.Sinks[i].Name
			for j := range w.SecretFiles {
				c.resolve(&w.SecretFiles[j])
			}
		}
	}
	if p := c.Store.Postgres; p != nil {
		c.resolve(&p.URLFile)
		if c.MaxStoreMB > 0 {
			return nil, &ConfigError{File: "max_store_mb", Text: store.ErrNoLimit.Error(), Advice: "leave max_store_mb out"}
		}
	}
	if err := c.reach(); err != nil {
		return nil, err
	}
	if err := c.checkHealth(); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *Config) resolve(p *string) {
	if *p != "" && !filepath.IsAbs(*p) {
		*p = filepath.Join(c.base, *p)
	}
}

// reach refuses an API that anyone on the network could read in passing.
func (c *Config) reach() error {
	host, _, err := net.SplitHostPort(c.API.Listen)
	if err != nil {
		return &ConfigError{File: "api.listen", Text: "not a host:port"}
	}
	if loopback(host) || c.API.Cert != "" {
		return nil
	}
	return &ConfigError{File: "api.listen", Text: "listens beyond this machine without TLS",
		Advice: "set api.cert and api.key, or listen on 127.0.0.1"}
}

var validatorText = regexp.MustCompile(`Key: '([^']+)' Error:Field validation for '[^']+' failed on the '([^']+)' tag`)

// plainRule shortens the validator's sentence to the key and its rule.
func plainRule(text string) string {
	return strings.TrimSpace(validatorText.ReplaceAllString(text, "$1 breaks the rule $2"))
}

func ruleOf(err error) string {
	var fields validator.ValidationErrors
	if errors.As(err, &fields) && len(fields) > 0 {
		return fields[0].Namespace() + ": rule " + fields[0].Tag()
	}
	return "invalid"
}

func plainPathError(err error) string {
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "there is no such file"
	case errors.Is(err, os.ErrPermission):
		return "may not be read"
	}
	return "cannot be read"
}
