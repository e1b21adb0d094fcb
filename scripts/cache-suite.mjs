#!/usr/bin/env node
// One run of the public cache suite against one gateway; scripts/cache-suite starts it and says what for.
//
//   cache-suite.mjs TESTS OUT ONLY AT-LEAST GATEWAY ARGUMENT…
//
// The suite's origin, its client and the verdicts are the suite's own code, loaded from its clone. Ours is
// what is around it: an origin on loopback, the gateway before it, and the counting.

import { spawn } from 'node:child_process'
import { createWriteStream, writeFileSync } from 'node:fs'
import http from 'node:http'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'

const [tests, out, only, least, program, ...options] = process.argv.slice(2)
const load = file => import(pathToFileURL(path.join(tests, file)).href)
const file = name => path.join(out, name)

// What the suite says on the way is for its log; the score alone goes to standard output.
const log = createWriteStream(file('suite.log'))
console.log = console.error = (...words) => log.write(`${words.join(' ')}\n`)

async function startOrigin () {
  const handlers = {}
  for (const kind of ['config', 'test', 'state']) {
    handlers[kind] = (await load(`test-engine/server/handle-${kind}.mjs`)).default
  }
  const server = http.createServer((request, response) => {
    const [kind, ...rest] = request.url.replace(/^\//, '').split('?')[0].split('/')
    if (handlers[kind]) handlers[kind](rest, request, response)
    else response.writeHead(404).end()
  })
  await new Promise((resolve, reject) => server.on('error', reject).listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${server.address().port}`
}

// Resolves to where the gateway listens: it says so in its first line.
async function startGateway (upstream) {
  const child = spawn(program, ['--upstream', upstream, '--listen', '127.0.0.1:0', ...options], {
    stdio: ['ignore', 'pipe', 'pipe']
  })
  process.on('exit', () => child.kill())
  child.stderr.pipe(createWriteStream(file('gateway.log')))
  const ended = new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('exit', code => reject(new Error(`the gateway ended with ${code}; see ${file('gateway.log')}`)))
  })
  const said = new Promise(resolve => createInterface(child.stdout).once('line', resolve))
  const line = await Promise.race([said, ended])
  ended.catch(fail)
  return line.match(/http:\/\/\S+$/)[0]
}

// The named tests and all that they build on, or every test that is for more than browsers.
function chosen (suites) {
  const all = new Map(suites.flatMap(suite => suite.tests).map(test => [test.id, test]))
  const wanted = new Set()
  const want = id => {
    if (!all.has(id)) throw new Error(`the suite has no test ${id}`)
    if (wanted.has(id)) return
    wanted.add(id)
    for (const other of all.get(id).depends_on ?? []) want(other)
  }
  const named = only ? only.split(',') : all.keys()
  for (const id of named) want(id)
  const runs = test => wanted.has(test.id) && test.browser_only !== true
  return suites.map(suite => ({ ...suite, tests: suite.tests.filter(runs) }))
}

// How many of each kind pass. A test that builds on one that does not pass does not pass either, as the
// suite itself shows it.
function score (suites, results, { determineTestResult, resultTypes }) {
  const counts = { required: [0, 0], optimal: [0, 0], check: [0, 0] }
  const failing = []
  for (const test of suites.flatMap(suite => suite.tests)) {
    const kind = test.kind ?? 'required'
    const verdict = determineTestResult(suites, test.id, results)
    const name = Object.keys(resultTypes).find(name => resultTypes[name] === verdict)
    const passes = ['pass', 'yes'].includes(name)
    counts[kind][0] += passes ? 1 : 0
    counts[kind][1] += 1
    const why = [results[test.id]].flat().join(': ').replace(/\s+/g, ' ')
    if (!passes) failing.push([kind, name, test.id, why])
  }
  const order = Object.keys(counts)
  failing.sort((a, b) => order.indexOf(a[0]) - order.indexOf(b[0]))
  writeFileSync(file('failing.tsv'), failing.map(line => `${line.join('\t')}\n`).join(''))
  return counts
}

function fail (error) {
  process.stderr.write(`cache-suite: ERROR: ${error.message}\n`)
  process.exit(1)
}

async function run () {
  const base = await startGateway(await startOrigin())
  const suites = chosen((await load('tests/index.mjs')).default)
  const { runTests, getResults } = await load('test-engine/client/runner.mjs')
  await runTests(suites, false, base)
  const results = getResults()
  writeFileSync(file('results.json'), JSON.stringify(results, null, 1))
  const counts = score(suites, results, await load('test-engine/lib/results.mjs'))
  const line = Object.entries(counts).map(([kind, [passed, of]]) => `${kind} ${passed}/${of}`).join('  ')
  process.stdout.write(`${line}\n`)
  const [required, optimal] = (least || '0,0').split(',').map(Number)
  if (counts.required[0] < required || counts.optimal[0] < optimal) {
    throw new Error(`that is less than ${required} required and ${optimal} optimal`)
  }
}

// Connections that are kept alive would keep the process, too.
run().then(() => process.exit(0), fail)
