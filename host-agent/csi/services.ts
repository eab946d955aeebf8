import type { UntypedServiceImplementation } from '@grpc/grpc-js';
import { z } from 'zod';
import { CSI_DRIVER } from '@warmpool/protocol/names.ts';
import type { KubeletDir } from '../volumes/kubelet-dir.ts';
import type { PodVolumes } from '../volumes/pod-volumes.ts';
import { publishRequestSchema, unpublishRequestSchema } from './requests.ts';
import { rpc } from './rpc.ts';

const VERSION = '0.1.0';
const anything = z.unknown();

export interface ServicesDeps {
  nodeName: string;
  kubelet: KubeletDir;
  volumes: PodVolumes;
  onProblem: (error: unknown) => void;
}

/** Neither a controller nor anything optional: capabilities are empty, and other RPCs answer UNIMPLEMENTED. */
export function identityService({ onProblem }: ServicesDeps): UntypedServiceImplementation {
  return {
    GetPluginInfo: rpc(anything, () => ({ name: CSI_DRIVER, vendor_version: VERSION }), onProblem),
    GetPluginCapabilities: rpc(anything, () => ({ capabilities: [] }), onProblem),
    Probe: rpc(anything, () => ({ ready: { value: true } }), onProblem),
  };
}

export function nodeService({ nodeName, kubelet, volumes, onProblem }: ServicesDeps): UntypedServiceImplementation {
  return {
    NodeGetInfo: rpc(anything, () => ({ node_id: nodeName }), onProblem),
    NodeGetCapabilities: rpc(anything, () => ({ capabilities: [] }), onProblem),
    NodePublishVolume: rpc(
      publishRequestSchema(kubelet),
      async ({ target, ...pod }) => {
        await volumes.publish(target, pod);
        return {};
      },
      onProblem,
    ),
    NodeUnpublishVolume: rpc(
      unpublishRequestSchema(kubelet),
      async (target) => {
        await volumes.unpublish(target);
        return {};
      },
      onProblem,
    ),
  };
}

const registrationStatusSchema = z.object({ plugin_registered: z.boolean(), error: z.string() });

/** The kubelet finds this one's socket in its plugins_registry, asks where the driver is, and says what came of it. */
export function registrationService(
  { onProblem }: ServicesDeps,
  csiSocket: string,
  onRegistered: () => void,
): UntypedServiceImplementation {
  const info = { type: 'CSIPlugin', name: CSI_DRIVER, endpoint: csiSocket, supported_versions: ['1.0.0'] };
  return {
    GetInfo: rpc(anything, () => info, onProblem),
    NotifyRegistrationStatus: rpc(
      registrationStatusSchema,
      ({ plugin_registered: isRegistered, error }) => {
        if (isRegistered) onRegistered();
        else onProblem(new Error(`the kubelet refused the driver ${CSI_DRIVER}: ${error}`));
        return {};
      },
      onProblem,
    ),
  };
}
