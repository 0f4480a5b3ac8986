"""Write the demo's raw tables: `python -m seeds.generate`, the same bytes every time.

Ordinary rows come from seeded generators. The rows that tell a story are written out by hand, carry
speaking ids, and are explained one by one in docs/seed_story.md.
"""

from . import company, consumers, engagement, learning, web

for domain in (company, engagement, consumers, learning, web):
    domain.main()
