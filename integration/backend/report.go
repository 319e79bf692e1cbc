package backend

import (
	"fmt"
	"os"
)

// reportEnv names a file to which ./test wants a line for each backend that was used.
const reportEnv = "TOKENSESSION_REPORT"

// report adds the line: name, version and how it ran, separated by tabs.
func (s *Server) report() error {
	path := os.Getenv(reportEnv)
	if path == "" {
		return nil
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = fmt.Fprintf(f, "%s\t%s\t%s\n", s.kind, s.Version, s.How)
	return err
}
