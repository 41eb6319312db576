// Package catalogue lists the laboratory's scenarios: number, name, what happens, what pgherd does
// about it today, and what the operator sees. docs/failures.md is made of it, and each entry
// needs its scenario in lab/, so that neither can say what the other does not show.
//
// It must not run anything, and it must not promise: what pgherd does not do yet is written
// as such, with the issue that will do it.
package catalogue
