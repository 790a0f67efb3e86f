// What every script starts with: clients made from $KUBECONFIG, and the namespace to work in.
import * as k8s from '@kubernetes/client-node';

const config = new k8s.KubeConfig();
config.loadFromDefault();
const core = config.makeApiClient(k8s.CoreV1Api);
const objects = k8s.KubernetesObjectApi.makeApiClient(config);
const namespace = process.env.NAMESPACE;

const configmap = (name, data = { color: 'blue' }, labels = {}) => ({
  apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace, labels }, data,
});
const make = (...args) => core.createNamespacedConfigMap({ namespace, body: configmap(...args) });
const tell = (what) => console.log(JSON.stringify(what));
