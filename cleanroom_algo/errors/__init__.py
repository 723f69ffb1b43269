"""Every error of the project.

```
CleanroomError
├── ContractError   CR-CON  the contract between the platform and a container
├── SchemaError     CR-SCH  schemas, and data that does not match them
├── ChannelError    CR-CHN  channels: their bytes, formats and streams
├── DataError       CR-DAT  the division of a channel among ranks
├── TrainingError   CR-TRN  the training loop and its ranks
├── ArtifactError   CR-ART  model artifacts and their maximum size
├── BaseModelError  CR-BAS  the base model in the incremental channel
├── ServingError    CR-SRV  answers to inference requests
├── RequestError    CR-REQ  requests of the Clean Rooms ML API
├── RoomError       CR-ROM  the local clean room and its state
├── JobError        CR-JOB  jobs: queries, training, inference and export
├── HostError       CR-HST  the hosts on which containers run
├── ImageError      CR-IMG  building and checking images
├── DeployError     CR-DEP  bringing an algorithm to AWS
└── CliError        CR-CLI  the command line
```

Each area is a module of this package. Import every error from the package itself. Each class is one error. Its `code`
never changes, and `cleanroom-algo explain CODE` prints its docstring.
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
