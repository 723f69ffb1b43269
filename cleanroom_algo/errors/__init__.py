"""Every error of the project.

```
CleanroomError
├── ContractError   CR-CON  what the platform gives a container
├── SchemaError     CR-SCH  the declared table and what was found
├── ChannelError    CR-CHN  bytes, formats and streams of a channel
├── DataError       CR-DAT  dividing a channel among ranks
├── TrainingError   CR-TRN  the training loop and its ranks
├── ArtifactError   CR-ART  what a job leaves behind, and its cap
├── BaseModelError  CR-BAS  what arrives in the incremental channel
├── ServingError    CR-SRV  answering inference requests
├── RequestError    CR-REQ  requests of the Clean Rooms ML API
├── RoomError       CR-ROM  the local clean room and its state
├── JobError        CR-JOB  jobs: training, inference, export
├── HostError       CR-HST  where a container runs
├── ImageError      CR-IMG  building and checking images
├── DeployError     CR-DEP  bringing an algorithm to AWS
└── CliError        CR-CLI  calling the commands
```

An area is a module of this package; every error is imported from the package itself. A class is one error: its `code`
never changes, its docstring is what `cleanroom-algo explain CODE` prints.
"""

# ruff: noqa: F403  (a new error needs no second line here)

from cleanroom_algo.errors.artifacts import *
from cleanroom_algo.errors.base import *
from cleanroom_algo.errors.base_models import *
from cleanroom_algo.errors.channels import *
from cleanroom_algo.errors.commands import *
from cleanroom_algo.errors.contract import *
from cleanroom_algo.errors.data import *
from cleanroom_algo.errors.deploying import *
from cleanroom_algo.errors.hosts import *
from cleanroom_algo.errors.images import *
from cleanroom_algo.errors.jobs import *
from cleanroom_algo.errors.requests import *
from cleanroom_algo.errors.rooms import *
from cleanroom_algo.errors.schemas import *
from cleanroom_algo.errors.serving import *
from cleanroom_algo.errors.training import *
