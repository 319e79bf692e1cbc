package integration

import (
	"os/exec"
	"slices"
	"testing"
	"time"
)

// impatience is the I/O timeout of stores that the suite lets wait for one.
const impatience = 300 * time.Millisecond

// tied returns a command that, once it is started, runs a program until the test ends, or
// this process, however it does: a shell waits for the end of its input.
func tied(t *testing.T, program string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sh", append([]string{"-c", `"$@" & read -r _; kill -9 $!; wait`, "sh", program}, args...)...)
	stop, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop.Close()
		cmd.Wait()
	})
	return cmd
}

// reportRatios reports how long a store took in the median, what the bare client took for
// the same commands, and the least that any store could send.
func reportRatios(b *testing.B, took [3][]time.Duration) {
	var medians [3]float64
	for i, name := range []string{"store-µs", "bare-µs", "least-µs"} {
		slices.Sort(took[i])
		medians[i] = float64(took[i][len(took[i])/2]) / 1e3
		b.ReportMetric(medians[i], name)
	}
	b.ReportMetric(medians[0]/medians[1], "×bare")
	b.ReportMetric(medians[0]/medians[2], "×least")
	b.ReportMetric(0, "ns/op") // of all three together, which says nothing
}
