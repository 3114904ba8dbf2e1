//go:build !linux

package main

// forgetProgram has no counterpart here.
func forgetProgram() {}
