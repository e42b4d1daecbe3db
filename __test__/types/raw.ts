/** Checked by tsc, never run: what src/raw.ts says of the addon is what the Rust source says. */
import type * as native from '../../crates/pyprof-node/native.js'
import type * as raw from '../../src/raw.js'

type Extends<A extends B, B> = A
type None<A extends never> = A

/** The names of all fields, and of those inside of them. */
type Names<T> = T extends readonly (infer One)[]
  ? Names<One>
  : T extends ArrayBufferView | string | number | boolean | null | undefined
    ? never
    : { [Key in keyof T & string]-?: Key | `${Key}.${Names<T[Key]>}` }[keyof T & string]

/** What the addon gives has what is read. The result is what is read and not there: what may be absent is no error. */
type Gives<Native extends Raw, Raw> = Exclude<Names<Raw>, Names<Native>>

/** What the addon takes gets what it needs. The result is what it is given and does not take. */
type Takes<Native, Raw extends Native> = Exclude<Names<Raw>, Names<Native>>

export type Checks = [
  // Every function there is.
  Extends<typeof native, raw.Binding>,
  Extends<keyof raw.RawSession, keyof native.Session>,
  None<Gives<native.RawProcess, raw.RawProcess>>,
  None<Gives<native.RawKin, Awaited<ReturnType<raw.Binding['processTree']>>[number]>>,
  None<Gives<native.RawReport, raw.RawReport>>,
  None<Gives<native.RawSnapshot, raw.RawSnapshot>>,
  None<Gives<native.RawProfile, raw.RawProfile>>,
  None<Gives<native.RawBatch, raw.RawBatch>>,
  None<Gives<native.RawStats, raw.RawStats>>,
  None<Gives<native.RawEnd, Awaited<ReturnType<raw.RawSession['ended']>>>>,
  None<Takes<native.RawSessionOptions, raw.RawSessionOptions>>,
  None<Takes<native.RawSnapshotOptions, raw.RawSnapshotOptions>>,
  Extends<Parameters<raw.Binding['snapshot']>, Parameters<typeof native.snapshot>>,
  Extends<Parameters<raw.Binding['doctor']>, Parameters<typeof native.doctor>>,
  Extends<Parameters<raw.Binding['Session']['start']>, Parameters<typeof native.Session.start>>,
]
