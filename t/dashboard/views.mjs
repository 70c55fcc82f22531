// The address of every view, after populate().

export const VIEWS = [
  ['sources', '#/sources'],
  ['source', '#/sources/web-shop'],
  ['events', '#/events?source=web-shop'],
  ['event', '#/events?source=web-shop&event=track%2FComment+Created'],
  ['mappings', '#/mapping'],
  ['mapping', '#/mapping/comment-created'],
  ['workflows', '#/workflows'],
  ['workflow', '#/workflows/new-comment'],
  ['logs', '#/logs?source=web-shop'],
  ['commits', '#/commits'],
  ['users', '#/users'],
  ['user', '#/users/sam10'],
  ['test-runner', '#/test-runner?user=ulla'],
  ['runs', '#/runs']
]
