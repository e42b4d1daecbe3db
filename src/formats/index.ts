/** The output formats: one file and one line here for each. */
import type { RawProfile } from '../raw.js'
import { collapsed } from './collapsed.js'
import type { Described, FormatOptions } from './input.js'
import { pprof } from './pprof.js'
import { speedscope } from './speedscope.js'

export type { FormatOptions } from './input.js'

/** The type of each format's content. */
export interface Formats {
  collapsed: string
  speedscope: string
  pprof: Uint8Array
}

/** A format's name. */
export type Format = keyof Formats

type Encoder<T> = (raw: RawProfile, about: Described, options: FormatOptions) => T

export const formats: { [F in Format]: Encoder<Formats[F]> } = { collapsed, speedscope, pprof }
