// Command tokensession shows sessions at work, on a store that a URL names.
//
//	tokensession demo
//
// It exits with 0 when it was ended by Ctrl-C, with 2 when it was called wrongly
// and with 1 when something else went wrong.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/redis/go-redis/v9/logging"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	// The stores that --store can name.
	_ "github.com/tokensession/tokensession/bolt"
	_ "github.com/tokensession/tokensession/memcache"
	_ "github.com/tokensession/tokensession/memory"
	_ "github.com/tokensession/tokensession/postgres"
	_ "github.com/tokensession/tokensession/redis"
)

func main() {
	logging.Disable() // go-redis would print lines of its own beside the one that says what is wrong
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// After the first signal they kill as usual, should the way out get stuck.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run runs the command and returns its exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := rootCommand()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintln(stderr, "tokensession: "+oneLine(err))
	if errors.As(err, new(usageError)) {
		return 2
	}
	return 1
}

// oneLine is the text of an error that may be several joined, or one of package
// tokensession, which names itself, or a list of pgx, which is indented.
func oneLine(err error) string {
	text := strings.TrimPrefix(err.Error(), "tokensession: ")
	return strings.NewReplacer(":\n\t", ": ", "\n\t", "; ", "\n", "; ").Replace(text)
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:     "tokensession",
		Short:   "Sessions on a store that a URL names",
		Version: version(),
		Args:    knownCommand,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		// run prints errors, as one line.
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(demoCommand())
	return root
}

// version is the module's, as "go install …@latest" builds it.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}

// A usageError says that the command was called wrongly.
type usageError struct{ error }

func usageErrorf(format string, args ...any) error {
	return usageError{fmt.Errorf(format, args...)}
}

// knownCommand is called where no command has the name that was given.
func knownCommand(root *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var known []string
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() || c.Name() == "help" {
			known = append(known, c.Name())
		}
	}
	return usageErrorf("unknown command %q; the commands are %s", args[0], strings.Join(known, ", "))
}

func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return usageErrorf("%s takes no arguments, only the options %s; it was given %q", cmd.Name(), options(cmd), args[0])
}

func flagError(cmd *cobra.Command, err error) error {
	return usageErrorf("%w; the options of %s are %s", err, cmd.CommandPath(), options(cmd))
}

func options(cmd *cobra.Command) string {
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, "--"+f.Name) })
	return strings.Join(names, ", ")
}
