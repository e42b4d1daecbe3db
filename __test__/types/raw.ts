/** Checked by tsc, never run: what src/raw.ts says of the addon is what the Rust source says. */
import type * as native from '../../crates/pyprof-node/native.js'
import type * as raw from '../../src/raw.js'

type Extends<A extends B, B> = A

export type Checks = [
  Extends<native.RawProcess, raw.RawProcess>,
  Extends<native.RawSnapshot, raw.RawSnapshot>,
  Extends<native.RawProfile, raw.RawProfile>,
  Extends<raw.RawSessionOptions, native.RawSessionOptions>,
  Extends<native.RawStats, ReturnType<raw.RawSession['stats']>>,
  Extends<keyof raw.RawSession, keyof native.Session>,
  Extends<native.RawBatch, raw.RawBatch>,
  Extends<Awaited<ReturnType<native.Session['ended']>>, Awaited<ReturnType<raw.RawSession['ended']>>>,
  Extends<ReturnType<typeof native.processTree>, ReturnType<raw.Binding['processTree']>>,
  Extends<native.RawReport, raw.RawReport>,
  Extends<ReturnType<typeof native.doctor>, ReturnType<raw.Binding['doctor']>>,
  Extends<ReturnType<typeof native.processes>, ReturnType<raw.Binding['processes']>>,
  Extends<Parameters<raw.Binding['snapshot']>, Parameters<typeof native.snapshot>>,
]
