const refused = async (call) => {
  try {
    await call();
  } catch (error) {
    const status = typeof error.body === 'string' ? JSON.parse(error.body) : error.body;
    return [error.code, status.reason, error.code === 422 ? status.details.name : status.message];
  }
  return 'not refused';
};
const one = await make('one');
const stale = { ...one, data: { color: 'red' } };
await core.replaceNamespacedConfigMap({ name: 'one', namespace, body: stale });
const told = [];
for (const call of [
  () => core.readNamespacedConfigMap({ name: 'none', namespace }),
  () => make('one'),
  () => core.replaceNamespacedConfigMap({ name: 'one', namespace, body: { ...one, data: { color: 'green' } } }),
  () => make('Upper'),
]) told.push(await refused(call));
tell(told);
