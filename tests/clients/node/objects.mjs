const labels = { app: 'web' };
const created = await make('one', { color: 'blue' }, labels);
const patched = await core.patchNamespacedConfigMap(
  { name: 'one', namespace, body: { data: { size: '1' } } },
  k8s.setHeaderOptions('Content-Type', k8s.PatchStrategy.MergePatch),
);
const body = { ...patched, data: { color: 'red' } };
const replaced = await core.replaceNamespacedConfigMap({ name: 'one', namespace, body });
await make('two', { color: 'green' }, { ...labels, tier: 'back' });
await make('three', { color: 'green' }, labels);

const pages = [];
let _continue;
do {
  const page = await core.listNamespacedConfigMap({ namespace, labelSelector: 'app=web', limit: 2, _continue });
  pages.push(page.items.map((item) => item.metadata.name));
  _continue = page.metadata._continue;
} while (_continue);
const selected = await core.listNamespacedConfigMap({ namespace, labelSelector: 'tier in (back)' });
const deleted = await core.deleteNamespacedConfigMap({ name: 'one', namespace });

tell({
  created: created.data.color,
  patched: patched.data,
  replaced: replaced.data,
  pages,
  selected: selected.items.map((item) => item.metadata.name),
  deleted: deleted.status,
});
