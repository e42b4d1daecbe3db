// tsc leaves the output of deleted sources behind; start from nothing.
import { rmSync } from 'node:fs'

rmSync(new URL('../dist', import.meta.url), { recursive: true, force: true })
