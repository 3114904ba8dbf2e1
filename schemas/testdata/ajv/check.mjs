// Reads lines {"schema": name, "document": any} and answers each with {"valid": bool, "errors": [...]}, in order. The schemas
// are the committed files, whose folder is the first argument.
import { readdirSync, readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { join } from 'node:path'
import Ajv from 'ajv/dist/2020.js'
import formats from 'ajv-formats'

const folder = process.argv[2]
const ajv = new Ajv({ allErrors: false, strict: true, strictRequired: false, strictTypes: false, unicodeRegExp: true })
formats(ajv)
ajv.addKeyword('x-category')
const compiled = {}
for (const file of readdirSync(folder)) {
  if (!file.endsWith('.schema.json')) continue
  compiled[file.slice(0, -'.schema.json'.length)] = ajv.compile(JSON.parse(readFileSync(join(folder, file), 'utf8')))
}
for await (const line of createInterface({ input: process.stdin })) {
  const { schema, document } = JSON.parse(line)
  const validate = compiled[schema]
  const valid = validate(document)
  console.log(JSON.stringify({ valid, errors: valid ? [] : validate.errors.map(e => `${e.instancePath} ${e.keyword}`) }))
}
