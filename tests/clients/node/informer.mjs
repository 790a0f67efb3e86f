const fieldSelector = 'metadata.name!=kube-root-ca.crt';
const list = () => core.listNamespacedConfigMap({ namespace, fieldSelector });
const path = `/api/v1/namespaces/${namespace}/configmaps`;
const informer = k8s.makeInformer(config, path, list, undefined, fieldSelector);
const events = [];
const waiting = [];
for (const kind of ['add', 'update', 'delete']) {
  informer.on(kind, (obj) => {
    events.push(`${kind} ${obj.metadata.name} ${obj.data.color}`);
    waiting.shift()?.();
  });
}
const next = () => new Promise((resolve) => waiting.push(resolve));
await informer.start();

let seen = next();
const one = await make('one');
await seen;
seen = next();
await core.replaceNamespacedConfigMap({ name: 'one', namespace, body: { ...one, data: { color: 'red' } } });
await seen;
seen = next();
await core.deleteNamespacedConfigMap({ name: 'one', namespace });
await seen;
const cached = informer.list().map((obj) => obj.metadata.name);
await informer.stop();

// A revision from before the server's memory: the watch is told 410, and a list begins anew.
const gone = await new Promise((resolve) => {
  new k8s.Watch(config).watch(
    path, { resourceVersion: '1' },
    (type, obj) => type === 'ERROR' && resolve(obj.code),
    (error) => resolve(error?.statusCode ?? error?.code ?? String(error)),
  );
});
await make('two');
const fresh = k8s.makeInformer(config, path, list, undefined, fieldSelector);
await fresh.start();
const relisted = fresh.list().map((obj) => obj.metadata.name);
await fresh.stop();
tell({ events, cached, gone, relisted });
process.exit(0);
