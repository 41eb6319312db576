// Package ui serves the dashboard: a few static files that are built from ui/ by Vite and kept here, so that
// a build of pgherd needs no Node.js. They are the same for everybody and hold no data: what the page shows it asks from
// the API, with the rights of who looks.
//
// It must not know the API, the cluster or who asks.
package ui
