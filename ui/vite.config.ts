import { defineConfig } from 'vite';

// The files have the same names in each build: internal/ui gives them a strong ETag, and a build that changes nothing
// changes no file.
export default defineConfig({
  base: './',
  esbuild: { jsx: 'automatic', jsxImportSource: 'preact', legalComments: 'none' },
  build: {
    outDir: '../internal/ui/dist',
    emptyOutDir: true,
    target: 'es2022',
    modulePreload: false,
    assetsInlineLimit: 0,
    rollupOptions: {
      output: { entryFileNames: 'app.js', assetFileNames: '[name][extname]', inlineDynamicImports: true },
    },
  },
  server: { proxy: { '/v1': { target: process.env.PGHERD_API ?? 'https://127.0.0.1:7432', secure: false } } },
});
