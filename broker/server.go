package broker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"

	"waypost/broker/network"
)

// serverOptions turns a checked configuration into NATS options. It reads keys and certificates and opens nothing.
func serverOptions(cfg *Config, bundle *network.Bundle) (*server.Options, error) {
	operator, err := jwt.DecodeOperatorClaims(bundle.Operator)
	if err != nil {
		return nil, fmt.Errorf("read operator: %w", err)
	}
	o := &server.Options{
		ServerName: "waypost", NoSigs: true, // signals are the program's business; NATS would exit the process
		JetStream: true, StoreDir: filepath.Join(cfg.Data, "streams"),
		SyncAlways: true, // an acknowledged message is on disk; the default is two minutes later
		// Not quotas.disk, which Check compares with the streams' own bounds: the server would count what a stream was
		// bounded by before, and a smaller quota could never be brought in. The account refuses streams without a bound.
		JetStreamMaxStore:  math.MaxInt64 / 2,
		JetStreamMaxMemory: 64 << 20,
		TrustedOperators:   []*jwt.OperatorClaims{operator}, SystemAccount: bundle.System,
		MaxPayload: network.MaxPayload, MaxControlLine: 4096,
		AuthTimeout: 5, DisableJetStreamBanner: true,
	}
	if o.Host, o.Port, err = hostPort(cfg.Listen); err != nil {
		return nil, err
	}
	if cfg.TLS.Cert != "" {
		if o.TLSConfig, err = tlsConfig(cfg.TLS); err != nil {
			return nil, err
		}
		o.TLSTimeout = 10
	}
	if cfg.Cluster.on() {
		if err := clusterOptions(o, cfg); err != nil {
			return nil, err
		}
	}
	if cfg.WebSocket.Listen != "" {
		if o.Websocket.Host, o.Websocket.Port, err = hostPort(cfg.WebSocket.Listen); err != nil {
			return nil, err
		}
		o.Websocket.NoTLS = o.TLSConfig == nil // loopback only, Check saw to that
		if o.TLSConfig != nil {
			o.Websocket.TLSConfig = o.TLSConfig.Clone()
		}
	}
	if cfg.AtRest.KeyFile != "" {
		key, err := os.ReadFile(cfg.AtRest.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("read at-rest key: %w", err)
		}
		if key = bytes.TrimSpace(key); len(key) < 32 {
			return nil, cfg.wrong("at_rest.key_file", "holds fewer than 32 bytes", "for example: openssl rand -hex 32")
		}
		o.JetStreamKey, o.JetStreamCipher = string(key), server.ChaCha
		if cfg.AtRest.Cipher == "aes" {
			o.JetStreamCipher = server.AES
		}
	}
	return o, nil
}

func hostPort(listen string) (host string, port int, err error) {
	host, p, err := net.SplitHostPort(listen)
	if err != nil {
		return "", 0, fmt.Errorf("read address: %w", err)
	}
	if port, err = strconv.Atoi(p); err != nil || port < 0 || port > 65535 {
		return "", 0, errors.New("read address: port is not a number between 0 and 65535")
	}
	if port == 0 {
		port = -1 // what NATS calls a port of its own choice
	}
	if host == "" {
		host = "0.0.0.0"
	}
	return host, port, nil
}

// tryListen opens and closes each address.
func tryListen(ctx context.Context, addresses ...string) error {
	for _, a := range addresses {
		if a == "" {
			continue
		}
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", a)
		if err != nil {
			return &ConfigError{Key: "listen", Rule: "cannot be opened: " + err.Error(), Advice: "is another broker running here? choose another port"}
		}
		if err := l.Close(); err != nil {
			return fmt.Errorf("try address: %w", err)
		}
	}
	return nil
}

// seedAccounts gives the account resolver what the bundle holds, unless the data folder holds newer claims, which were
// pushed by `waypost network publish` after the bundle was copied here: an old bundle must not readmit anybody.
func seedAccounts(o *server.Options, cfg *Config, bundle *network.Bundle) error {
	dir := filepath.Join(cfg.Data, "accounts")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make accounts folder: %w", err)
	}
	operator := o.TrustedOperators[0]
	for _, token := range bundle.Accounts {
		claims, err := jwt.DecodeAccountClaims(token)
		if err != nil {
			return fmt.Errorf("read account claims: %w", err)
		}
		path := filepath.Join(dir, claims.Subject+".jwt")
		if text, err := os.ReadFile(path); err == nil {
			have, err := jwt.DecodeAccountClaims(string(text))
			if err == nil && operator.DidSign(have) && network.AccountVersion(have) >= network.AccountVersion(claims) {
				continue
			}
		} else if !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("read account claims: %w", err)
		}
		if err := network.WriteFile(path, []byte(token), 0o600); err != nil {
			return fmt.Errorf("store account claims: %w", err)
		}
	}
	resolver, err := server.NewDirAccResolver(dir, 0, claimsEvery, server.NoDelete)
	if err != nil {
		return fmt.Errorf("open accounts folder: %w", err)
	}
	o.AccountResolver = resolver
	return nil
}

// natsLogger passes the server's lines on. They name subjects and users, never a payload; debug and trace, which would
// print protocol lines, are off for good.
type natsLogger struct{ log *slog.Logger }

func (l natsLogger) Noticef(f string, v ...any) { l.log.Debug("nats", "text", fmt.Sprintf(f, v...)) }
func (l natsLogger) Warnf(f string, v ...any)   { l.log.Warn("nats", "text", fmt.Sprintf(f, v...)) }
func (l natsLogger) Fatalf(f string, v ...any)  { l.log.Error("nats", "text", fmt.Sprintf(f, v...)) }
func (l natsLogger) Errorf(f string, v ...any)  { l.log.Error("nats", "text", fmt.Sprintf(f, v...)) }
func (l natsLogger) Debugf(string, ...any)      {}
func (l natsLogger) Tracef(string, ...any)      {}
