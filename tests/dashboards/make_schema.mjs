// What Grafana takes as a dashboard, as JSON Schema, from Grafana's own types (@grafana/schema, Apache-2.0).
//
//   mkdir somewhere && cd somewhere && npm install --ignore-scripts @grafana/schema@13.2.3 ts-json-schema-generator@2
//   node …/tests/dashboards/make_schema.mjs somewhere > …/tests/data/grafana/dashboard.schema.json
//
// Invariant: facts of types alone; descriptions are left out. Each panel type's options and custom field
// configuration have a schema of their own, because Panel itself leaves them open.
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const PANELS = ['bargauge', 'gauge', 'stat', 'statetimeline', 'statushistory', 'table', 'timeseries'];
const NAMES = { statetimeline: 'state-timeline', statushistory: 'status-history' }; // as a dashboard's `type` has them

const folder = path.resolve(process.argv[2] ?? '.');
const found = createRequire(path.join(folder, 'x.js'));
const { createGenerator } = await import(pathToFileURL(found.resolve('ts-json-schema-generator')));
const home = path.join(folder, 'node_modules', '@grafana', 'schema');
const { version } = JSON.parse(fs.readFileSync(path.join(home, 'package.json'), 'utf8'));

function schema(file, type) {
  const source = path.join(home, 'dist', 'types', 'raw', file, 'x', 'types.gen.d.ts');
  const made = createGenerator({ path: source, type, skipTypeCheck: true, expose: 'all' }).createSchema(type);
  return sorted(bare(made));
}

function bare(value) {
  if (Array.isArray(value)) return value.map(bare);
  if (value === null || typeof value !== 'object') return value;
  const kept = Object.entries(value).filter(([key, it]) => !(key === 'description' && typeof it === 'string') && key !== 'default');
  return Object.fromEntries(kept.map(([key, it]) => [key, bare(it)]));
}

function sorted(value) {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.keys(value).sort().map((key) => [key, sorted(value[key])]));
}

const panels = {};
for (const name of PANELS) {
  const file = `composable/${name}/panelcfg`;
  const text = fs.readFileSync(path.join(home, 'dist', 'types', 'raw', file, 'x', 'types.gen.d.ts'), 'utf8');
  panels[NAMES[name] ?? name] = { options: schema(file, 'Options'), ...(/FieldConfig\b.*\{|export (interface|type) FieldConfig/.test(text) ? { custom: schema(file, 'FieldConfig') } : {}) };
}
const made = { source: `@grafana/schema ${version}`, dashboard: schema('dashboard', 'Dashboard'), panels };
process.stdout.write(JSON.stringify(made, null, 1) + '\n');
