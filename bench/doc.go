// Package bench has benchmarks only: this project side by side with other
// libraries, in one run. See README.md.
package bench
