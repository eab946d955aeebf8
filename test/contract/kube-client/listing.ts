import { beforeEach, describe, expect, test } from 'vitest';
import { LEASES, SECRETS } from '../../../operator/core/resources.ts';
import { aLease, aSecret } from './objects.ts';
import { type ContractWorld, expectRefusal } from './world.ts';

export function listing(world: () => ContractWorld): void {
  const names = async (labelSelector?: string): Promise<string[]> => {
    const { client, namespace } = world();
    const { items } = await client.list(SECRETS, namespace, labelSelector === undefined ? {} : { labelSelector });
    return items.map(({ metadata }) => metadata.name);
  };

  test('a list is in the order of names, whole objects, of one namespace', async () => {
    const { client, namespace, otherNamespace } = world();
    for (const name of ['b', 'c', 'a']) await client.create(SECRETS, namespace, aSecret(name));
    await client.create(SECRETS, otherNamespace, aSecret('elsewhere'));
    expect(await names()).toEqual(['a', 'b', 'c']);
    const { items } = await client.list(SECRETS, namespace);
    expect(items[0]).toEqual(await client.get(SECRETS, namespace, 'a'));
  });

  test('a list without a namespace is of all of them', async () => {
    const { client, namespace, otherNamespace } = world();
    const { uid: one } = (await client.create(SECRETS, namespace, aSecret('a'))).metadata;
    const { uid: two } = (await client.create(SECRETS, otherNamespace, aSecret('a'))).metadata;
    const { items } = await client.list(SECRETS, undefined);
    expect(items.map(({ metadata }) => metadata.uid)).toEqual(expect.arrayContaining([one, two]));
  });

  test('an empty list has a version to watch from', async () => {
    const { client, namespace } = world();
    const { items, resourceVersion, ...rest } = await client.list(SECRETS, namespace);
    expect(items).toEqual([]);
    expect(Number(resourceVersion)).toBeGreaterThan(0);
    expect(rest).toEqual({});
  });

  describe('with labels', () => {
    beforeEach(async () => {
      const { client, namespace } = world();
      await client.create(SECRETS, namespace, aSecret('red-big', { labels: { color: 'red', 'example.com/big': '' } }));
      await client.create(SECRETS, namespace, aSecret('red', { labels: { color: 'red' } }));
      await client.create(SECRETS, namespace, aSecret('blue', { labels: { color: 'blue' } }));
      await client.create(SECRETS, namespace, aSecret('plain'));
    });

    test.each([
      ['color=red', ['red', 'red-big']],
      ['color==red', ['red', 'red-big']],
      ['color!=red', ['blue', 'plain']],
      ['color in (red, blue)', ['blue', 'red', 'red-big']],
      ['color notin (red)', ['blue', 'plain']],
      ['color', ['blue', 'red', 'red-big']],
      ['!color', ['plain']],
      ['color in (red,blue),!example.com/big', ['blue', 'red']],
      ['example.com/big=', ['red-big']],
      ['color=green', []],
    ])('the selector %j picks %j', async (selector, expected) => {
      expect(await names(selector)).toEqual(expected);
    });

    test('a selector that cannot be parsed is refused with 400', async () => {
      await expectRefusal(names('color=(red'), 400, 'BadRequest');
    });
  });

  describe('in pages', () => {
    beforeEach(async () => {
      const { client, namespace } = world();
      for (const name of ['a', 'b', 'c', 'd', 'e']) await client.create(SECRETS, namespace, aSecret(name));
    });

    test('the pages together are the list at the version of the first', async () => {
      const { client, namespace } = world();
      const first = await client.list(SECRETS, namespace, { limit: 2 });
      expect(first.items.map(({ metadata }) => metadata.name)).toEqual(['a', 'b']);
      await client.create(SECRETS, namespace, aSecret('bb'));
      await client.delete(SECRETS, namespace, 'd');
      const rest: string[] = [];
      let page = first;
      while (page.continue !== undefined) {
        page = await client.list(SECRETS, namespace, { limit: 2, continue: page.continue });
        expect(page.resourceVersion).toBe(first.resourceVersion);
        rest.push(...page.items.map(({ metadata }) => metadata.name));
      }
      expect(rest).toEqual(['c', 'd', 'e']);
    });

    test('a limit that is not reached makes one page', async () => {
      const { client, namespace } = world();
      const page = await client.list(SECRETS, namespace, { limit: 5 });
      expect(page.items).toHaveLength(5);
      expect(page.continue).toBeUndefined();
    });

    test('a token that has expired is refused with 410', async () => {
      const { client, namespace, expireContinueTokens } = world();
      for (const name of ['a', 'b']) await client.create(LEASES, namespace, aLease(name));
      const { continue: token = '' } = await client.list(LEASES, namespace, { limit: 1 });
      await client.create(LEASES, namespace, aLease('c'));
      await expireContinueTokens();
      await expectRefusal(client.list(LEASES, namespace, { limit: 1, continue: token }), 410, 'Expired');
    });

    test('a token that never was one is refused with 400', async () => {
      const { client, namespace } = world();
      await expectRefusal(client.list(SECRETS, namespace, { limit: 2, continue: 'nonsense' }), 400, 'BadRequest');
    });
  });
}
