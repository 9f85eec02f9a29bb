package main

import "github.com/spf13/cobra"

func newBackend() *cobra.Command { return &cobra.Command{Use: "backend"} }
