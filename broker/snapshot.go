package broker

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/nats-io/nats.go"
)

// What JetStream is asked for: chunks of this size, and no more of them on their way at once than fit into the window.
const (
	chunkBytes  = 128 << 10
	windowBytes = 4 << 20
)

// silence is how long the server may say nothing in the middle of a stream before a transfer is given up.
const silence = 30 * time.Second

type apiError struct {
	Code        int    `json:"code"`
	ErrCode     int    `json:"err_code"`
	Description string `json:"description"`
}

func (e *apiError) Error() string {
	return fmt.Sprintf("JetStream answered %d: %s", e.ErrCode, e.Description)
}

// streamState is what of a stream's state is compared.
type streamState struct {
	Messages uint64 `json:"messages"`
	First    uint64 `json:"first_seq"`
	Last     uint64 `json:"last_seq"`
}

// call asks JetStream. answer must hold an Error field.
func call(ctx context.Context, nc *nats.Conn, subject string, request, answer any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return fmt.Errorf("ask JetStream: %w", err)
	}
	m, err := nc.RequestWithContext(ctx, subject, body)
	if err != nil {
		return fmt.Errorf("ask JetStream: %w", err)
	}
	if err := json.Unmarshal(m.Data, answer); err != nil {
		return fmt.Errorf("read answer of JetStream: %w", err)
	}
	return nil
}

// fetchSnapshot copies one stream with its consumers into dir and syncs it. After an error the file is incomplete.
func fetchSnapshot(ctx context.Context, nc *nats.Conn, name, dir string) (*BackupStream, error) {
	inbox := nc.NewRespInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		return nil, fmt.Errorf("snapshot %s: %w", name, err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	var answer struct {
		Error  *apiError      `json:"error"`
		Config jsontext.Value `json:"config"`
		State  jsontext.Value `json:"state"`
	}
	err = call(ctx, nc, "$JS.API.STREAM.SNAPSHOT."+name, map[string]any{"deliver_subject": inbox, "chunk_size": chunkBytes, "window_size": windowBytes, "jsck": true}, &answer)
	if err == nil && answer.Error != nil {
		err = answer.Error
	}
	if err != nil {
		return nil, fmt.Errorf("snapshot %s: %w", name, err)
	}
	b := &BackupStream{Name: name, File: name + ".snapshot", Config: answer.Config, State: answer.State}
	f, err := os.OpenFile(filepath.Join(dir, b.File), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("snapshot %s: %w", name, err)
	}
	err = b.receive(ctx, nc, sub, f)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("snapshot %s: %w", name, err)
	}
	return b, nil
}

// receive writes the chunks and acknowledges each when it is written: the server sends no more than the window ahead.
func (b *BackupStream) receive(ctx context.Context, nc *nats.Conn, sub *nats.Subscription, f io.Writer) error {
	sum := sha256.New()
	w := io.MultiWriter(f, sum)
	for {
		wait, cancel := context.WithTimeout(ctx, silence)
		m, err := sub.NextMsgWithContext(wait)
		cancel()
		if err != nil {
			return fmt.Errorf("wait for the next part: %w", err)
		}
		if len(m.Data) == 0 {
			// The end, or why there is none: an end without a status, or with 204, is a good one.
			if s := m.Header.Get("Status"); s != "" && s != "204" {
				return fmt.Errorf("the server broke off: %s %s", s, m.Header.Get("Description"))
			}
			b.SHA256 = hex.EncodeToString(sum.Sum(nil))
			return nil
		}
		if _, err := w.Write(m.Data); err != nil {
			return err
		}
		b.Size += int64(len(m.Data))
		if m.Reply != "" {
			if err := nc.Publish(m.Reply, nil); err != nil {
				return err
			}
		}
	}
}

// sendSnapshot makes a stream from a file of a backup. The stream is there as a whole or not at all.
func sendSnapshot(ctx context.Context, nc *nats.Conn, dir string, b *BackupStream, replicas int) error {
	config, err := b.withReplicas(replicas)
	if err != nil {
		return fmt.Errorf("restore %s: %w", b.Name, err)
	}
	f, err := os.Open(filepath.Join(dir, b.File))
	if err != nil {
		return fmt.Errorf("restore %s: %w", b.Name, err)
	}
	defer f.Close()
	deliver, err := b.offer(ctx, nc, config)
	if err != nil {
		return fmt.Errorf("restore %s: %w", b.Name, err)
	}
	r, chunk := bufio.NewReaderSize(f, chunkBytes), make([]byte, chunkBytes)
	for {
		n, err := io.ReadFull(r, chunk)
		if n > 0 {
			if err := b.part(ctx, nc, deliver, chunk[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("restore %s: %w", b.Name, err)
		}
	}
	// An empty part is the end; it is answered when the stream is made.
	return b.part(ctx, nc, deliver, nil)
}

// noPeers is JetStream's error code for a cluster in which too few nodes are known to be up.
const noPeers = 10005

// offer announces the stream, and returns where its parts are to be sent. Nodes of a cluster that has just started take a moment
// to hear of each other.
func (b *BackupStream) offer(ctx context.Context, nc *nats.Conn, config map[string]jsontext.Value) (string, error) {
	for deadline := time.Now().Add(silence); ; {
		var answer struct {
			Error   *apiError `json:"error"`
			Deliver string    `json:"deliver_subject"`
		}
		err := call(ctx, nc, "$JS.API.STREAM.RESTORE."+b.Name, map[string]any{"config": config, "state": b.State}, &answer)
		if err != nil || answer.Error == nil {
			return answer.Deliver, err
		}
		if answer.Error.ErrCode != noPeers || time.Now().After(deadline) {
			return "", answer.Error
		}
		select {
		case <-time.After(leaderEvery):
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

// part sends a piece and waits for the word that it was taken. Bodies of an answer are there at the end or on failure.
func (b *BackupStream) part(ctx context.Context, nc *nats.Conn, subject string, data []byte) error {
	limit := silence
	if data == nil {
		limit = 10 * time.Minute // the server reads the whole stream once
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	m, err := nc.RequestWithContext(ctx, subject, data)
	for errors.Is(err, nats.ErrNoResponders) && ctx.Err() == nil {
		// In a cluster another node may take the parts, and ours has not heard yet that it listens. Nobody got this one.
		select {
		case <-time.After(leaderEvery):
			m, err = nc.RequestWithContext(ctx, subject, data)
		case <-ctx.Done():
		}
	}
	if err != nil {
		return fmt.Errorf("restore %s: %w", b.Name, err)
	}
	if len(m.Data) == 0 {
		return nil
	}
	var answer struct {
		Error *apiError `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return fmt.Errorf("restore %s: read answer: %w", b.Name, err)
	}
	if answer.Error != nil {
		return fmt.Errorf("restore %s: %w", b.Name, answer.Error)
	}
	return nil
}
