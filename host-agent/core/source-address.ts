import { BlockList, isIP } from 'node:net';

/** Addresses that a source named by a tenant must not reach: this node itself, and link-local ones (cloud metadata services). */
const nodeLocal = new BlockList();
nodeLocal.addSubnet('127.0.0.0', 8, 'ipv4');
nodeLocal.addSubnet('0.0.0.0', 8, 'ipv4');
nodeLocal.addSubnet('169.254.0.0', 16, 'ipv4');
nodeLocal.addAddress('::1', 'ipv6');
nodeLocal.addAddress('::', 'ipv6');
nodeLocal.addSubnet('fe80::', 10, 'ipv6');
nodeLocal.addAddress('fd00:ec2::254', 'ipv6');

/** `address` is an IP address; IPv4 ones written as IPv6 (`::ffff:127.0.0.1`) are seen through. */
export function isNodeLocalAddress(address: string): boolean {
  const family = isIP(address);
  return family === 0 || nodeLocal.check(address, family === 6 ? 'ipv6' : 'ipv4');
}

/** As a person writes it in a setting. */
export function isLoopbackHost(host: string): boolean {
  return ['127.0.0.1', '::1', '[::1]', 'localhost'].includes(host);
}
