import { inject } from 'vitest';
import { kubeClientContract } from '../contract/kube-client/suite.ts';
import { apiserverWorld } from './apiserver-world.ts';

const access = inject('apiserver');

kubeClientContract(
  'real apiserver',
  () => {
    if (access === undefined) throw new Error('no apiserver on this machine');
    return apiserverWorld(access);
  },
  { skip: access === undefined },
);
