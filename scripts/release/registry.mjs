// A package registry of a few tarballs on 127.0.0.1, for tests: what npm makes of our packages before they are
// published. It answers what npm asks when it installs, and nothing else.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { basename } from 'node:path'

/** `{ url, requests, close }`; `requests` are the paths asked for so far. */
export async function serve(tarballs) {
  const files = new Map(tarballs.map((path) => [`/-/${basename(path)}`, readFileSync(path)]))
  const manifests = tarballs.map((path) => ({ path, manifest: manifestOf(path) }))
  const requests = []
  const server = createServer((request, response) => {
    const path = decodeURIComponent(request.url)
    requests.push(path)
    const file = files.get(path)
    const found = manifests.filter(({ manifest }) => `/${manifest.name}` === path)
    if (file) response.end(file)
    else if (found.length > 0)
      response.end(JSON.stringify(packument(found, `http://${request.headers.host}`)))
    else response.writeHead(404).end('{}')
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${server.address().port}/`,
    requests,
    close: () => new Promise((resolve) => server.close(resolve)),
  }
}

function packument(found, host) {
  const versions = found.map(({ path, manifest }) => ({
    ...manifest,
    dist: {
      tarball: `${host}/-/${basename(path)}`,
      integrity: `sha512-${createHash('sha512').update(readFileSync(path)).digest('base64')}`,
    },
  }))
  return {
    name: versions[0].name,
    'dist-tags': { latest: versions.at(-1).version },
    versions: Object.fromEntries(versions.map((version) => [version.version, version])),
  }
}

/** The package.json inside a tarball. */
export function manifestOf(tarball) {
  const { status, stdout, stderr } = spawnSync('tar', ['-xzOf', tarball, 'package/package.json'], {
    encoding: 'utf8',
  })
  if (status !== 0) throw new Error(`${tarball} has no package.json: ${stderr}`)
  return JSON.parse(stdout)
}
