import { stringify } from 'yaml';
import { AGENT_SCHEMA_SECTIONS, contractJsonSchema } from './contract-sections.ts';
import { HOST_AGENT_API, RUNTIME_AGENT_API } from './agent-api-routes.ts';
import { CLAIM_API } from './claim-api-routes.ts';
import { customResourceDefinitions } from './crds.ts';
import { openApiDocument } from './openapi.ts';

const YAML_HEADER = '# Generated from protocol/ by `npm run generate`. Do not edit.\n';

/** Every wholly generated file by its path in the repository. */
export function generatedFiles(): Record<string, string> {
  const crds = Object.entries(customResourceDefinitions()).map(([name, definition]) => [
    `crds/${name}`,
    YAML_HEADER + stringify(definition, { lineWidth: 0, aliasDuplicateObjects: false }),
  ]);
  const documents = Object.entries({
    'claim-api': CLAIM_API,
    'host-agent-api': HOST_AGENT_API,
    'runtime-agent-api': RUNTIME_AGENT_API,
  }).map(([name, api]) => [`docs/api/${name}.json`, `${JSON.stringify(openApiDocument(api), null, 2)}\n`]);
  const contract = ['docs/api/runtime-contract.schema.json', `${JSON.stringify(contractJsonSchema(), null, 2)}\n`];
  return Object.fromEntries([...crds, ...documents, contract]) as Record<string, string>;
}

/** Pages with prose by hand and generated parts between `<!-- generated:NAME -->` and `<!-- /generated -->`. */
export const PAGES_WITH_SECTIONS = ['docs/runtime-contract.md'];

const SECTION = /(<!-- generated:([\w-]+) -->\n)[\s\S]*?(<!-- \/generated -->)/g;

/** The page with its generated parts as they should be; throws on a part that nobody knows how to make. */
export function fillSections(page: string): string {
  return page.replace(SECTION, (_, open: string, name: string, close: string) => {
    const write = AGENT_SCHEMA_SECTIONS[name];
    if (!write) {
      const known = Object.keys(AGENT_SCHEMA_SECTIONS).join(', ');
      throw new Error(`there is no generated section "${name}"; there are: ${known}`);
    }
    return `${open}\n${write()}\n${close}`;
  });
}
