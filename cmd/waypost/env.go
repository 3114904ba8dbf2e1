package main

import (
	"context"
	"strings"
)

type environmentKey struct{}

// withEnvironment hands the environment that run was given to the commands, so that tests do not change the process's.
func withEnvironment(ctx context.Context, env []string) context.Context {
	m := make(map[string]string, len(env))
	for _, e := range env {
		if k, v, ok := strings.Cut(e, "="); ok {
			m[k] = v
		}
	}
	return context.WithValue(ctx, environmentKey{}, m)
}

// environment is the environment of this run.
func environment(ctx context.Context) map[string]string {
	m, _ := ctx.Value(environmentKey{}).(map[string]string)
	return m
}
