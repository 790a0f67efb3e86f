const deployment = (replicas) => ({
  apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'web', namespace },
  spec: {
    replicas, selector: { matchLabels: { app: 'web' } },
    template: { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'web', image: 'web:1' }] } },
  },
});
const apply = (replicas, manager, force) => objects.patch(
  deployment(replicas), undefined, undefined, manager, force, k8s.PatchStrategy.ServerSideApply,
);
const applied = await apply(2, 'node');
const conflict = await apply(5, 'other').then(() => 0, (error) => error.code);
const forced = await apply(5, 'other', true);
const listed = await objects.list('apps/v1', 'Deployment', namespace);
tell({
  applied: applied.spec.replicas,
  managers: applied.metadata.managedFields.map((entry) => entry.manager),
  conflict,
  forced: forced.spec.replicas,
  listed: listed.items.map((item) => item.metadata.name),
});
