package main

import "github.com/spf13/cobra"

func newBenchSimulateCommand() *cobra.Command { return &cobra.Command{Use: "simulate"} }
